package guard

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// A FormatError refuses a body whose declared format the server knows and cannot read.
type FormatError struct {
	Reason string // what the client declared, and what to send instead
	Header string // a header of the response that says what the server takes
	Value  string // of that header
}

func (e *FormatError) Error() string { return "guard: " + e.Reason }

// MergePatch is the media type of a JSON Merge Patch (RFC 7396).
const MergePatch = "application/merge-patch+json"

// CheckFormat returns a *FormatError if the headers of a request declare a body in a
// format that the server knows and cannot read. If they declare nothing, or something
// that the server does not know, the body counts as JSON: many clients declare another
// type than they send. It does not read the body.
func CheckFormat(r *http.Request) error {
	for _, header := range r.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(header, ",") {
			if coding = strings.ToLower(strings.TrimSpace(coding)); slices.Contains(codings, coding) {
				return &FormatError{
					fmt.Sprintf("a body with the Content-Encoding %s cannot be read: send the body as it is", coding),
					"Accept-Encoding", "identity", // RFC 9110, section 12.5.3
				}
			}
		}
	}
	for _, header := range r.Header["Content-Type"] {
		if err := checkType(header, r.Method == http.MethodPatch); err != nil {
			return err
		}
	}
	return nil
}

// codings are the content codings (RFC 9110, section 8.4.1) that IANA has registered, and
// a few common others. Other words are not codings: some clients write the charset there.
var codings = []string{
	"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm",
	"bzip2", "xz", "lz4", "snappy",
}

func checkType(header string, patch bool) error {
	kind, parameters, err := mime.ParseMediaType(header)
	if err != nil { // the type may be valid in spite of its parameters
		kind, _, _ = strings.Cut(header, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	charset := strings.ToLower(parameters["charset"])
	refused := &FormatError{Header: "Accept", Value: "application/json"} // RFC 9110, section 12.5.1
	if patch {
		refused.Header, refused.Value = "Accept-Patch", MergePatch // RFC 5789, section 3.1
	}
	switch {
	case isUnreadable(kind):
		refused.Reason = fmt.Sprintf("a body of the type %.64q cannot be read: send JSON as %s, or without a Content-Type", kind, refused.Value)
	case strings.HasPrefix(charset, "utf-16"), strings.HasPrefix(charset, "utf-32"):
		// Other charsets are ignored: of JSON they mean nothing (RFC 8259, section 11), and
		// some libraries add one, such as ISO-8859-1, to all that they send.
		refused.Reason = fmt.Sprintf("a body in the charset %.64q cannot be read: send JSON in UTF-8", charset)
	default:
		return nil
	}
	return refused
}

// isUnreadable reports whether a media type is a known one whose bodies are not the JSON
// that the server reads. Some of them could be mistaken for it: a JSON Patch is JSON, and
// the byte 0x31 is 49 in MessagePack and 1 in JSON.
//
// These types are not among them, because clients send JSON with them: the type of a form,
// which is curl's; text/plain, which is that of a string in a browser's fetch; and
// application/octet-stream, which means the same as no type (RFC 9110, section 8.3).
func isUnreadable(kind string) bool {
	top, sub, _ := strings.Cut(kind, "/")
	switch top {
	case "multipart", "message", "image", "audio", "video", "font", "model":
		return true
	case "text", "application":
	default:
		return false
	}
	_, suffix, _ := strings.Cut(sub, "+")
	name := strings.TrimPrefix(strings.TrimPrefix(sub, "vnd."), "x-")
	return strings.HasSuffix(sub, "-patch+json") && kind != MergePatch || // other formats of patches
		strings.HasPrefix(sub, "grpc") || slices.Contains(formats, suffix) || slices.Contains(formats, name)
}

// formats are subtypes of text and application, without "x-" and "vnd.", and suffixes of
// others (RFC 6839).
var formats = []string{
	"xml", "html", "yaml", "csv", "tab-separated-values",
	"json-patch", "ndjson", "jsonl", "jsonlines", "json-lines", "json-seq", // the last five are several values
	"cbor", "cbor-seq", "msgpack", "messagepack", "protobuf", "google.protobuf", "bson", "ubjson", "smile", "jackson-smile",
	"avro", "thrift", "gzip", "zip", "zstd", "tar", "pdf", "java-serialized-object",
}

// Encoding returns in words how a body is encoded, if its first bytes say so, or "" if they
// could begin JSON in UTF-8. It is for bodies whose encoding was not declared.
func Encoding(body []byte) string {
	switch begins := func(with string) bool { return bytes.HasPrefix(body, []byte(with)) }; {
	case begins("\x1f\x8b"): // RFC 1952, section 2.3.1
		return "compressed by gzip"
	case begins("\x28\xb5\x2f\xfd"): // RFC 8878, section 3.1.1
		return "compressed by zstd"
	case begins("x\x01"), begins("x\x5e"), begins("x\x9c"), begins("x\xda"): // RFC 1950, section 2.2
		return "compressed by deflate"
	case begins("\xff\xfe"), begins("\xfe\xff"), begins("{\x00"), begins("\x00{"):
		return "in UTF-16"
	case begins("\xef\xbb\xbf"):
		return "preceded by a byte order mark"
	}
	return ""
}
