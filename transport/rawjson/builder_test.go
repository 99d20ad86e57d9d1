package rawjson_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"rtdb/transport/rawjson"
)

func TestBuilder(t *testing.T) {
	if got := string(rawjson.Builder(nil).End()); got != `{}` {
		t.Errorf("an empty object is %s", got)
	}
	got := string(rawjson.Builder(nil).String("s", `"é`).Raw("r", []byte(`[1.50]`)).Uint("u", 1<<64-1).True("t").
		Strings("none", nil).Strings("some", []string{"a", ""}).End())
	if want := `{"s":"\"é","r":[1.50],"u":18446744073709551615,"t":true,"none":[],"some":["a",""]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzAppendString checks that encoding/json and Decode both read the text back.
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
