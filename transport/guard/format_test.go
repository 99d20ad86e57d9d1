package guard_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rtdb/transport/guard"
)

func TestCheckFormat(t *testing.T) {
	const encoding, kind = "Content-Encoding", "Content-Type"
	for _, c := range []struct {
		header, value string
		method        string // POST if it is empty
		want          string // a header of the response; "" if the body is taken
	}{
		{kind, "", "", ""},
		{kind, "application/json", "", ""},
		{kind, "application/json; charset=utf-8", "", ""},
		{kind, `APPLICATION/JSON;charset="UTF-8"`, "", ""},
		{kind, "application/json; charset=", "", ""},
		{kind, "application/json; charset=us-ascii", "", ""},
		{kind, "text/plain", "", ""},
		{kind, "text/plain;charset=UTF-8", "", ""},
		{kind, "text/plain; charset=ISO-8859-1", "", ""}, // some libraries add it to all text
		{kind, "application/x-www-form-urlencoded", "", ""},
		{kind, "application/octet-stream", "", ""},
		{kind, "application/merge-patch+json", "", ""},
		{kind, "application/merge-patch+json", "PATCH", ""},
		{kind, "application/json", "PATCH", ""},
		{kind, "application/vnd.api+json", "PATCH", ""},
		{kind, "application/vnd.acme.dispatch+json", "PATCH", ""},
		{kind, "application/vnd.acme", "", ""},
		{kind, "nonsense", "", ""},
		{kind, ";;;", "", ""},
		{kind, "\xff/\x01", "", ""},

		{kind, "application/json-patch+json", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "Application/JSON-Patch+JSON; charset=utf-8", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "application/json-patch+json; charset=utf-8; charset=x", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "application/json-patch", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "application/strategic-merge-patch+json", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "application/apply-patch+yaml", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "application/xml", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "application/json-patch+json", "", "Accept: application/json"},
		{kind, "application/xml", "", "Accept: application/json"},
		{kind, "text/xml; charset=utf-8", "", "Accept: application/json"},
		{kind, "application/soap+xml", "", "Accept: application/json"},
		{kind, "multipart/form-data; boundary=x", "", "Accept: application/json"},
		{kind, "multipart/form-data", "", "Accept: application/json"},
		{kind, "application/yaml", "", "Accept: application/json"},
		{kind, "text/x-yaml", "", "Accept: application/json"},
		{kind, "application/x-ndjson", "", "Accept: application/json"},
		{kind, "application/cbor", "", "Accept: application/json"},
		{kind, "application/vnd.acme+cbor", "", "Accept: application/json"},
		{kind, "application/x-msgpack", "", "Accept: application/json"},
		{kind, "application/vnd.msgpack", "", "Accept: application/json"},
		{kind, "application/x-protobuf", "", "Accept: application/json"},
		{kind, "application/grpc-web+proto", "", "Accept: application/json"},
		{kind, "application/gzip", "", "Accept: application/json"},
		{kind, "text/csv", "", "Accept: application/json"},
		{kind, "image/png", "", "Accept: application/json"},
		{kind, "image/" + strings.Repeat("x", 5000), "", "Accept: application/json"},
		{kind, "application/json; charset=iso-8859-1", "", ""}, // RFC 8259 gives it no meaning
		{kind, "application/vnd.api+json; charset=windows-1252", "", ""},
		{kind, "application/json; charset=utf-16", "PATCH", "Accept-Patch: application/merge-patch+json"},
		{kind, "text/plain; charset=utf-16le", "", "Accept: application/json"},

		{encoding, "", "", ""},
		{encoding, "identity", "", ""},
		{encoding, "utf-8", "", ""}, // a common mistake
		{encoding, "gzip", "", "Accept-Encoding: identity"},
		{encoding, "GZIP", "PATCH", "Accept-Encoding: identity"},
		{encoding, "x-gzip", "", "Accept-Encoding: identity"},
		{encoding, "deflate", "", "Accept-Encoding: identity"},
		{encoding, "br", "", "Accept-Encoding: identity"},
		{encoding, "zstd", "", "Accept-Encoding: identity"},
		{encoding, "identity , gzip", "", "Accept-Encoding: identity"},
	} {
		method := c.method
		if method == "" {
			method = "POST"
		}
		r := httptest.NewRequest(method, "/", nil)
		r.Header[c.header] = []string{c.value}
		got := ""
		var refused *guard.FormatError
		if errors.As(guard.CheckFormat(r), &refused) {
			got = refused.Header + ": " + refused.Value
			if len(refused.Reason) < 40 || len(refused.Reason) > 250 {
				t.Errorf("%s %.60s: the reason %q", c.header, c.value, refused.Reason)
			}
		}
		if got != c.want {
			t.Errorf("%s %s: %.60s: got %q, want %q", method, c.header, c.value, got, c.want)
		}
	}
}

// A header may have several lines.
func TestCheckFormatReadsAllLines(t *testing.T) {
	for _, h := range []http.Header{
		{"Content-Type": {"application/json", "application/xml"}},
		{"Content-Encoding": {"identity", "gzip"}},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header = h
		if guard.CheckFormat(r) == nil {
			t.Errorf("%v is taken", h)
		}
	}
}

func TestEncoding(t *testing.T) {
	for body, want := range map[string]string{
		"":                     "",
		`{"value":1}`:          "",
		" 1":                   "",
		"x":                    "",
		"\x1f\x8b\x08\x00":     "compressed by gzip",
		"\x28\xb5\x2f\xfd\x04": "compressed by zstd",
		"x\x9c\xab":            "compressed by deflate",
		"{\x00\"\x00":          "in UTF-16",
		"\xff\xfe{\x00":        "in UTF-16",
		"\xef\xbb\xbf{}":       "preceded by a byte order mark",
	} {
		if got := guard.Encoding([]byte(body)); got != want {
			t.Errorf("%q is %q, want %q", body, got, want)
		}
	}
}
