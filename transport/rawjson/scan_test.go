package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"rtdb/transport/rawjson"
)

func TestSyntaxErrors(t *testing.T) {
	for text, want := range map[string]rawjson.SyntaxError{
		``:                        {Offset: 0, What: "the text ends where '{' should be"},
		`[]`:                      {Offset: 0, What: "'[' where '{' should be"},
		`{"a":1}x`:                {Offset: 7, What: "'x' where the end should be"},
		`{"a" 1}`:                 {Offset: 5, What: "'1' where ':' should be"},
		`{"a":01}`:                {Offset: 6, What: "'1' where ',' or '}' should be"},
		`{"a":[1,]}`:              {Offset: 8, What: "']' where a value should be", Member: "a"},
		`{"a":1,"value":{"b":x}}`: {Offset: 20, What: "'x' where a value should be", Member: "value"},
		"{\"a\":\"\n\"}":          {Offset: 6, What: "a control character in a string", Member: "a"},
		"{\"\xff\":1}":            {Offset: 2, What: "invalid UTF-8"},
	} {
		err := rawjson.ParseObject([]byte(text), func([]byte, rawjson.Value) error { return nil })
		var got *rawjson.SyntaxError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%q: %+v, want %+v", text, err, want)
		}
	}
}

// FuzzParse compares with encoding/json, which accepts the same texts except for
// invalid UTF-8 and nesting deeper than 10,000.
func FuzzParse(f *testing.F) {
	for _, s := range append(jsonSeeds, ``, ` `, strings.Repeat("[", 100)+strings.Repeat("]", 100)) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := rawjson.Parse(text)
		if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > 9000 {
			return
		}
		if got, want := err == nil, json.Valid(text) && utf8.Valid(text); got != want {
			t.Fatalf("%q: accepted %v, want %v", text, got, want)
		}
		if err != nil {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, text); err != nil {
			t.Fatal(err)
		}
		if got := v.Compact(); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q: compact %q, want %q", text, got, want.Bytes())
		}
		if got := depth(text); v.Depth != got {
			t.Fatalf("%q: depth %d, want %d", text, v.Depth, got)
		}
	})
}
