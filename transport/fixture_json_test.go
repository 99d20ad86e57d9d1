package transport_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
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

// depth returns how deep valid JSON is nested, according to encoding/json.
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
