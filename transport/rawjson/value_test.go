package rawjson_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rtdb/transport/rawjson"
)

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
	err := rawjson.ParseObject([]byte(` { "a" : 1.50 ,"\u0062":[ "x" , {} ] , "a":null}`), func(name []byte, v rawjson.Value) error {
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
	err := rawjson.ParseObject([]byte(`{"a":1,"b":2`), func([]byte, rawjson.Value) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("%v after %d calls, want %v after 1", err, calls, enough)
	}
}

func TestElements(t *testing.T) {
	v, err := rawjson.Parse([]byte(` [ 1.50 , "a" ,{"b": [ ]}, true ] `))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	collect := func(e rawjson.Value) error {
		got = append(got, fmt.Sprintf("%s %d %v", e.Compact(), e.Kind(), e.IsTrue()))
		return nil
	}
	want := []string{"1.50 2 false", `"a" 3 false`, `{"b":[]} 5 false`, "true 1 true"}
	if err := v.Elements(collect); err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	enough := errors.New("enough")
	calls := 0
	err = v.Elements(func(rawjson.Value) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("%v after %d calls, want %v after 1", err, calls, enough)
	}
}
