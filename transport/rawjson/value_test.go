package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"rtdb/transport/rawjson"
)

// compact returns a text as a value is kept, or an error if it is too deep or too long.
func compact(text []byte, maxBytes int) ([]byte, error) {
	v, err := rawjson.Parse(text)
	if err != nil {
		return nil, err
	}
	kept := v.Compact()
	if v.Depth > 64 || len(kept) > maxBytes {
		return nil, fmt.Errorf("%d deep, %d bytes long", v.Depth, len(kept))
	}
	return kept, nil
}

func TestLoneSurrogates(t *testing.T) {
	for raw, want := range map[string]bool{
		`""`: false, `"a"`: false, `"\ud83d\ude00"`: false, `"\uD83D\uDE00x"`: false, `"\u00e9"`: false, `"\\ud800"`: false,
		`"\ud800"`: true, `"\udc00"`: true, `"\ud800\ud800"`: true, `"\ud800x"`: true, `"\ud800\n"`: true,
		`"\ude00\ud83d"`: true, `"x\ud83d"`: true, `"\ud83d\ude00\ude00"`: true, `"\ud83d\\ude00"`: true,
	} {
		if got := (rawjson.Value{Text: []byte(raw)}).HasLoneSurrogate(); got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
}

func TestParseObject(t *testing.T) {
	var got []string
	err := rawjson.ParseObject([]byte(` { "a" : 1.50 ,"\u0062":[ "x" , {} ] , "a":null}`), func(name string, v rawjson.Value) error {
		got = append(got, fmt.Sprintf("%s %s %d %d", name, v.Compact(), v.Kind(), v.Depth))
		return nil
	})
	want := []string{"a 1.50 2 0", `b ["x",{}] 4 2`, "a null 0 0"}
	if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestParseObjectStopsAtTheFirstError(t *testing.T) {
	enough := errors.New("enough")
	calls := 0
	err := rawjson.ParseObject([]byte(`{"a":1,"b":2`), func(string, rawjson.Value) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("%v after %d calls, want %v after 1", err, calls, enough)
	}
}

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
		err := rawjson.ParseObject([]byte(text), func(string, rawjson.Value) error { return nil })
		var got *rawjson.SyntaxError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%q: %+v, want %+v", text, err, want)
		}
	}
}

var jsonSeeds = []string{
	`1`, `null`, `true`, `false`, `""`, `{}`, `[]`, `-0.5e+10`, `1e400`, `12345678901234567890`, `1.50`,
	`"\u00e9<>&"`, `"\ud800"`, `"\ud83d\ude00"`, `"\ude00\ud83d"`, `"é\n"`, `[1 , 2,{"a" : [ ] }]`, ` { "a" : 1 , "a":2 } `,
	`[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`, `01`, `1.`, `.5`, `+1`, `1e`, `--1`, `"`, `"\x"`, `"\u12g4"`, "\"\x01\"", "\"\xff\"",
	`tru`, `nulll`, `[`, `]`, `{`, `}`, `[[1]`, `{"a":1}}`, `1 2`, "\ufeff1", `"\\"`, `"\""`, "\"\u007f\u2028\"", "[\v1]", "\"\\u\x10000\"",
	strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65),
	strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65),
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

// depth counts the brackets that are open at once.
func depth(text []byte) (most int) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	open := 0
	for {
		token, err := d.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			open++
			most = max(most, open)
		case json.Delim(']'), json.Delim('}'):
			open--
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/", "\x00\x1f\x7f", "\u2028é😀", "<>&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		text := rawjson.AppendString(nil, s)
		var back string
		if err := json.Unmarshal(text, &back); err != nil || back != s {
			t.Fatalf("AppendString(%q) = %s, which is %q, %v", s, text, back, err)
		}
		v, err := rawjson.Parse(text)
		if err != nil || v.Decode() != s {
			t.Fatalf("%s: decoded %q, %v, want %q", text, v.Decode(), err, s)
		}
	})
}
