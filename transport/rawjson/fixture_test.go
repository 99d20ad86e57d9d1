package rawjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rtdb/transport/rawjson"
)

// jsonSeeds are texts that fuzz tests begin with: JSON, and texts that are nearly JSON.
var jsonSeeds = []string{
	`1`, `null`, `true`, `false`, `""`, `{}`, `[]`, `-0.5e+10`, `1e400`, `12345678901234567890`, `1.50`,
	`"\u00e9<>&"`, `"\ud800"`, `"\ud83d\ude00"`, `"\ude00\ud83d"`, `"é\n"`, `[1 , 2,{"a" : [ ] }]`, ` { "a" : 1 , "a":2 } `,
	`[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`, `01`, `1.`, `.5`, `+1`, `1e`, `--1`, `"`, `"\x"`, `"\u12g4"`, "\"\x01\"", "\"\xff\"",
	`tru`, `nulll`, `[`, `]`, `{`, `}`, `[[1]`, `{"a":1}}`, `1 2`, "\ufeff1", `"\\"`, `"\""`, "\"\u007f\u2028\"", "[\v1]", "\"\\u\x10000\"",
	strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65),
	strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65),
}

// compact returns a value without spaces, or an error if it is invalid, deeper than 64
// levels or longer than maxBytes.
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

// depth returns how deep valid JSON is nested, according to encoding/json.
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

// decodeJSON decodes a value. If members have the same name, the last counts.
func decodeJSON(t *testing.T, text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// loneSurrogate reports whether a text has half of a surrogate pair.
func loneSurrogate(text []byte) bool { return rawjson.Value{Text: text}.HasLoneSurrogate() }
