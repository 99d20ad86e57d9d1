package transport_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"rtdb/transport"
)

// FuzzRequest compares the parser of requests with encoding/json: both accept the same
// texts as objects and read the same members.
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

// isRequest reports whether an object is certainly a valid request. It reports false for
// escapes, because encoding/json replaces lone surrogates.
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
				return false // a number that is too large for a float64
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

// duplicates reports whether an object has a name twice. Then encoding/json keeps only
// the last member, but the parser checks each.
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
