package transfer

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// Lines, and the items that they make.
var goodLines = map[string]string{
	`{"key":"a","value":1}`:                                         `{"key":"a","value":1}`,
	`{"key":"a","value":null}`:                                      `{"key":"a","value":null}`,
	`{"value":22.50,"key":"a"}`:                                     `{"key":"a","value":22.50}`,
	`{"key":"a","value":12345678901234567890}`:                      `{"key":"a","value":12345678901234567890}`,
	`{"key":"a","value":1e400}`:                                     `{"key":"a","value":1e400}`,
	`{"key":"a","value":{"z":1,"a":{"b":[]},"z":2,"<>&":"\u00e9"}}`: `{"key":"a","value":{"z":1,"a":{"b":[]},"z":2,"<>&":"\u00e9"}}`,
	`{"key":"\u00e9/\"\\","value":"\ud800"}`:                        `{"key":"\u00e9/\"\\","value":"\ud800"}`,
	` { "key" : "é" , "value" : [1, 2] , "expires_in" : 1.5 } `:     `{"key":"é","value":[1, 2],"ttl":1.5}`,
	`{"key":"a","value":1,"expires_in":1e999}`:                      `{"key":"a","value":1,"ttl":1e999}`,
	`{"key":"a","value":1,"expires_in":null}`:                       `{"key":"a","value":1}`,
	`{"key":"\ud800","value":1}`:                                    `{"key":"\ud800","value":1}`, // the server refuses it
}

var badLines = map[string]string{
	``:                                      "it ends too early",
	`{"key":"a","value":1`:                  "it ends too early",
	`{"key":"a","value":01}`:                "not valid JSON at byte 21",
	`{"key":"a","value":1}}`:                "not valid JSON at byte 22",
	`key,value`:                             "not valid JSON at byte 1",
	`null`:                                  "got null",
	`[1]`:                                   "got a JSON array",
	`"a"`:                                   "got a JSON string",
	`{}`:                                    `no "key"`,
	`{"key":1,"value":1}`:                   `no "key"`,
	`{"key":null,"value":1}`:                `no "key"`,
	`{"Key":"a","value":1}`:                 `no "key"`,
	`{"key":"a"}`:                           `no "value"`,
	`{"key":"a","Value":1}`:                 `unknown member "Value"`,
	`{"key":"a","value":1,"version":7}`:     `unknown member "version"`,
	`{"key":"a","value":1,"expires_in":0}`:  "above 0, in seconds, but got 0",
	`{"key":"a","value":1,"expires_in":-1}`: "but got -1",
	`{"key":"a","value":1,"expires_in":-1e999}`: "but got -1e999",
	`{"key":"a","value":1,"expires_in":"1"}`:    `but got "1"`,
	"{\"key\":\"a\",\"value\":\"\xff\"}":        "UTF-8 at byte 21",
}

func TestParseLine(t *testing.T) {
	for text, want := range goodLines {
		_, item, err := parseLine([]byte(text), false)
		if err != nil || string(item) != want {
			t.Errorf("%s: got %s, %v; want %s", text, item, err, want)
		}
	}
	for text, want := range badLines {
		if _, item, err := parseLine([]byte(text), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %s, %v; want an error with %s", text, item, err, want)
		}
	}
	if key, item, err := parseLine([]byte(`{"key":"\u00e9","value":1}`), true); key != "é" || string(item) != `{"key":"\u00e9","value":1,"ifVersion":0}` || err != nil {
		t.Errorf("got %q %s, %v", key, item, err)
	}
}

// An item is always valid: otherwise the server would refuse the whole batch. Its value
// is the text of the line's value.
func FuzzParseLine(f *testing.F) {
	for text := range goodLines {
		f.Add([]byte(text))
	}
	for text := range badLines {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, item, err := parseLine(text, false)
		if err != nil {
			return
		}
		var got, given map[string]json.RawMessage
		if !utf8.Valid(item) || json.Unmarshal(item, &got) != nil || json.Unmarshal(text, &given) != nil {
			t.Fatalf("%q makes the invalid item %q", text, item)
		}
		if string(got["key"]) != string(given["key"]) || string(got["value"]) != string(given["value"]) ||
			!strings.Contains(string(text), string(got["value"])) {
			t.Errorf("%q makes the item %q", text, item)
		}
	})
}

func TestLineReader(t *testing.T) {
	r := newLineReader(strings.NewReader("\ufeffa\r\n\n \t\nbb\n" + strings.Repeat("x", 1000) + "\nend"))
	r.most = 100
	var got []string
	for {
		text, number, err := r.next()
		var long *LineError
		if err == io.EOF {
			break
		} else if errors.As(err, &long) {
			got = append(got, long.Error())
		} else if err != nil {
			t.Fatal(err)
		} else {
			got = append(got, string(rune('0'+number))+string(text))
		}
	}
	if want := "1a 4bb line 5: it is longer than 100 bytes 6end"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}
