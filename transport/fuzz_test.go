package transport_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"rtdb/transport"
)

var jsonSeeds = []string{
	`1`, `null`, `true`, `false`, `""`, `{}`, `[]`, `-0.5e+10`, `1e400`, `12345678901234567890`, `1.50`,
	`"\u00e9<>&"`, `"\ud800"`, `"\ud83d\ude00"`, `"\ude00\ud83d"`, `"é\n"`, `[1 , 2,{"a" : [ ] }]`, ` { "a" : 1 , "a":2 } `,
	`[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`, `01`, `1.`, `.5`, `+1`, `1e`, `--1`, `"`, `"\x"`, `"\u12g4"`, "\"\x01\"", "\"\xff\"",
	`tru`, `nulll`, `[`, `]`, `{`, `}`, `[[1]`, `{"a":1}}`, `1 2`, "\ufeff1", `"\\"`, `"\""`, "\"\u007f\u2028\"", "[\v1]", "\"\\u\x10000\"",
	strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65),
	strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65),
}

// depth counts how deep valid JSON is nested, the slow way.
func depth(t *testing.T, text []byte) int {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	deepest, now := 0, 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			now++
			deepest = max(deepest, now)
		case json.Delim(']'), json.Delim('}'):
			now--
		}
	}
}

// The value check against encoding/json: what is accepted, and what is kept.
func FuzzValue(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, err := transport.CheckValue(text, limit)
		if !json.Valid(text) || !utf8.Valid(text) {
			// Some texts end the value early and go on: {"value":1,"x":2}.
			// They are not values, and the body is not what it should be,
			// except where all that is added is another value.
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

// The request parser against encoding/json: the same texts are objects, and
// what was read of an accepted request is what encoding/json reads.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"action":"set","key":"a","value":{"x":[1.50]},"id":7}`,
		`{"action":"subscribe","topic":"chat","id":"x"}`,
		`{"action":"set","key":"a","key":"b","value":1,"value":null}`,
		`{"\u0061ction":"get","k\u0065y":"\ud83d\ude00"}`,
		`{"action":"get","key":"\ud800"}`, `{"action":"get","key":5}`, `{"action":"get","key":null,"topic":null,"id":null}`,
		`{"Action":"get"}`, `{}`, `[]`, `{"action":"ping"} x`, `{"action":"ping","id":{}}`, `{"action":"ping","x":1}`,
		` {"action" : "ping" , "id" : 1e5 } `,
		`{"action":"subscribe","keys":["a","b/\u00e9"],"snapshot":true,"since":1e3}`,
		`{"action":"subscribe","pattern":"a/+/#","since":-0,"id":1}`, `{"action":"subscribe","topics":[[],{}," "],"since":""}`,
		`{"action":"set","key":"k","value":1,"ttl":1e-400,"ifVersion":18446744073709551616}`,
	} {
		f.Add([]byte(s))
	}
	for _, s := range jsonSeeds {
		f.Add([]byte(`{"action":"set","key":"k","value":` + s + `}`))
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := transport.ParseRequest(data, 1000)
		var members map[string]json.RawMessage
		valid := utf8.Valid(data) && json.Unmarshal(data, &members) == nil && members != nil
		if !valid {
			if got.Err == nil {
				t.Fatalf("accepted %q", data)
			}
			return
		}
		if got.Err != nil {
			if code := transport.Code(got.Err); !strings.HasPrefix(code, "invalid_") && code != "too_large" {
				t.Fatalf("%q: code %s", data, code)
			}
			if isRequest(t, data, members) {
				t.Fatalf("refused %q: %v", data, got.Err)
			}
			return
		}
		for name, raw := range members {
			if string(raw) != "null" && !strings.Contains(" id action key topic keys topics pattern value snapshot since ifVersion ttl ", " "+name+" ") {
				t.Fatalf("accepted the unknown field %q of %q", name, data)
			}
		}
		for name, have := range map[string]string{"action": got.Action, "key": got.Key, "topic": got.Topic} {
			var want *string
			if raw, ok := members[name]; ok {
				if err := json.Unmarshal(raw, &want); err != nil {
					t.Fatalf("accepted the %s of %q: %v", name, data, err)
				}
			}
			if want == nil {
				want = new(string)
			}
			if have != *want {
				t.Fatalf("%s %q of %q, want %q", name, have, data, *want)
			}
		}
		var want bytes.Buffer
		if raw, ok := members["value"]; ok {
			if err := json.Compact(&want, raw); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Value, want.Bytes()) {
			t.Fatalf("value %q of %q, want %q", got.Value, data, want.Bytes())
		}
	})
}

// isRequest reports whether an object is certainly a good request. Escapes are
// left out: encoding/json takes lone surrogates for something else.
func isRequest(t *testing.T, data []byte, members map[string]json.RawMessage) bool {
	if bytes.Contains(data, []byte(`\u`)) || len(data) > 1000 || depth(t, data) > 64 {
		return false
	}
	has := func(name string) bool {
		raw, ok := members[name]
		return ok && string(raw) != "null"
	}
	for name := range members {
		switch name {
		case "action", "key", "topic":
			var s *string
			if json.Unmarshal(members[name], &s) != nil {
				return false
			}
		case "id":
			var v any
			if json.Unmarshal(members[name], &v) != nil {
				return false // a number that is too large for a float
			}
			switch v.(type) {
			case nil, string, float64:
			default:
				return false
			}
		case "value":
		default:
			if has(name) {
				return false
			}
		}
	}
	return has("action") && !(has("key") && has("topic")) && !duplicates(t, data)
}

// duplicates reports whether the object has an unknown name that comes twice:
// encoding/json keeps the last, and an unknown name is refused wherever it is.
func duplicates(t *testing.T, data []byte) bool {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return true
	}
	seen := make(map[any]bool)
	for d.More() {
		name, err := d.Token()
		if err != nil || seen[name] {
			return true
		}
		seen[name] = true
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			return true
		}
	}
	return false
}

// A batch is refused as a whole only where it is no batch; each item that is
// taken is one that encoding/json takes, too.
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
		if len(items) != len(want.Items) && bytes.Count(data, []byte("tems")) == 1 { // else encoding/json takes "Items", too
			t.Fatalf("%d items of %q, want %d", len(items), data, len(want.Items))
		}
	})
}

// What a header of conditions lists is matched as it stands there, and nothing
// else is.
func FuzzConditions(f *testing.F) {
	for _, s := range []string{`"1"`, `*`, `W/"1"`, `"1", "22"`, ` "1",,"2" `, `"`, `1`, ``, `"1" "2"`, `*,"1"`, `W/*`, `*,`, `,"1"`} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, header string, version uint64) {
		match, err := transport.Matches(header, version)
		if err != nil {
			if transport.Code(err) != "invalid_request" {
				t.Fatalf("%q: %v", header, err)
			}
			return
		}
		tag := `"` + strconv.FormatUint(version, 10) + `"`
		if want := version != 0 && (strings.Trim(header, " \t") == "*" || strings.Contains(header, tag)); match && !want {
			t.Fatalf("If-Match %q holds at version %d", header, version)
		}
		if header == tag && version != 0 && !match {
			t.Fatalf("If-Match %q does not hold", header)
		}
	})
}
