package transport_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"unicode/utf8"

	"rtdb/transport"
)

// FuzzValue compares with encoding/json which values are accepted and what is kept of
// them.
func FuzzValue(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, err := transport.CheckValue(text, limit)
		if !json.Valid(text) || !utf8.Valid(text) {
			// Some texts end the value early and add members: {"value":1,"x":2}.
			// The body is refused, unless all that is added is another value.
			if err == nil && !bytes.Contains(text, []byte("value")) && !bytes.Contains(text, []byte(`\u`)) {
				t.Fatalf("accepted %q", text)
			}
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, text); err != nil {
			t.Fatal(err)
		}
		switch tooDeep := depth(t, text) > 64; {
		case tooDeep:
			if err == nil || transport.Code(err) != "invalid_value" {
				t.Fatalf("%q is too deep: %v", text, err)
			}
		case want.Len() > limit:
			if err == nil || transport.Code(err) != "too_large" {
				t.Fatalf("%q is too long: %v", text, err)
			}
		case err != nil:
			t.Fatalf("refused %q: %v", text, err)
		case !bytes.Equal(kept, want.Bytes()):
			t.Fatalf("kept %q of %q, want %q", kept, text, want.Bytes())
		case cap(kept) > len(kept)+len(kept)/2+64:
			t.Fatalf("%d bytes are held for a value of %d", cap(kept), len(kept))
		}
	})
}

// FuzzBatch compares with encoding/json. A body is refused as a whole only if it is
// not a batch, and encoding/json accepts every item that is accepted.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{
		`{"items":[]}`, `{"items":[{"key":"a","value":1,"ttl":0.5,"ifVersion":0}]}`, `{"items":[5,{},{"key":5},{"value":1}]}`,
		`{"items":[{"key":"\ud800","value":[1, 2]}],"items":[{"key":"b","value":null}]}`, `{"items":{}}`, `{"items":[1,]}`, `{}`, `[]`,
		` { "items" : [ { "key" : "a" , "value" : { "b" : 1.50 } } ] } `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := transport.ParseBatch(data, 1000)
		var want struct{ Items []json.RawMessage }
		if err != nil {
			if code := transport.Code(err); code != "invalid_request" && code != "too_large" {
				t.Fatalf("%q: code %s", data, code)
			}
			return
		}
		if !utf8.Valid(data) || json.Unmarshal(data, &want) != nil {
			t.Fatalf("accepted %q", data)
		}
		for _, x := range items {
			if x.Err == nil && (!json.Valid(x.Value) || len(x.Value) > 1000) {
				t.Fatalf("accepted the item %+v of %q", x, data)
			}
			if x.Err != nil && transport.Code(x.Err) == "internal" {
				t.Fatalf("%q: %v", data, x.Err)
			}
		}
		if len(items) != len(want.Items) && bytes.Count(data, []byte("tems")) == 1 { // otherwise encoding/json accepts "Items", too
			t.Fatalf("%d items of %q, want %d", len(items), data, len(want.Items))
		}
	})
}

func TestBodiesThatAreNotUTF8(t *testing.T) {
	w := newWire(t, transport.Options{})
	for body, code := range map[string]string{
		"{\"value\":\"\xff\"}":         "invalid_value",
		"{\"value\":\"\xed\xa0\x80\"}": "invalid_value",
		"{\"value\":[\"\xc0\x80\"]}":   "invalid_value",
		"{\"\xff\":1}":                 "invalid_request",
		"\xff":                         "invalid_request",
		"\xef\xbb\xbf{\"value\":1}":    "invalid_request", // a byte order mark
	} {
		answer, text := w.call(t, "POST", "/data/k", body)
		if got := errorCode(t, text); answer.StatusCode != 400 || got != code {
			t.Errorf("%q: %d %s, want 400 %s", body, answer.StatusCode, text, code)
		}
	}
	w.want(t, "GET", "/data/k", "", 404, "not_found")
}

// The error names the first unknown member, even if it is null. If a member comes twice,
// the last one counts.
func TestMembersOfABody(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/k", `{"x":null,"y":1,"value":1}`, http.StatusBadRequest, `unknown field \"x\"`)
	w.want(t, "POST", "/data", `{"x":null,"y":1,"items":[]}`, http.StatusBadRequest, `unknown field \"x\"`)
	w.want(t, "POST", "/data/k", `{"value":1,"value":2,"ttl":"x","ttl":5}`, http.StatusOK, `"value":2`)
}
