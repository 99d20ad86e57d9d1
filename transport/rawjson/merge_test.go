package rawjson_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rtdb/transport/rawjson"
)

// merge applies a patch. The target "" means that there is no value.
func merge(target, patch string) string {
	var text []byte
	if target != "" {
		text = []byte(target)
	}
	return string(rawjson.ParseMergePatch([]byte(patch)).Apply(text))
}

func TestMergePatch(t *testing.T) {
	deep := func(inner string) string {
		return strings.Repeat(`{"a":`, 63) + inner + strings.Repeat("}", 63)
	}
	for _, c := range []struct{ what, target, patch, want string }{
		{"RFC 7396, appendix A, 1", `{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{"2", `{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{"3", `{"a":"b"}`, `{"a":null}`, `{}`},
		{"4", `{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{"5", `{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{"6", `{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{"7", `{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{"8", `{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{"9", `["a","b"]`, `["c","d"]`, `["c","d"]`},
		{"10", `{"a":"b"}`, `["c"]`, `["c"]`},
		{"11", `{"a":"foo"}`, `null`, `null`},
		{"12", `{"a":"foo"}`, `"bar"`, `"bar"`},
		{"13", `{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{"14", `[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{"15", `{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},

		{"no value", ``, `{"a":1,"b":null,"c":{"d":null}}`, `{"a":1,"c":{}}`},
		{"no value, empty patch", ``, `{}`, `{}`},
		{"no value, no object", ``, `[null]`, `[null]`},
		{"a string that looks like an object", `"{}"`, `{"a":1}`, `{"a":1}`},
		{"null is a target too", `null`, `{"a":1}`, `{"a":1}`},

		{"letter for letter", `{"n":12345678901234567890,"f":1.50,"e":1e400,"s":"\u00e9\/<","x":0}`, `{"x":-0.0}`,
			`{"n":12345678901234567890,"f":1.50,"e":1e400,"s":"\u00e9\/<","x":-0.0}`},
		{"letter for letter, from the patch", `{"x":0}`, `{"x":"\u00E9","y":1E400,"\u007a":[1.50,{"q":null}]}`,
			`{"x":"\u00E9","y":1E400,"\u007a":[1.50,{"q":null}]}`},
		{"order", `{"z":1,"m":{"y":1,"b":2},"a":3}`, `{"q":9,"a":4,"m":{"c":3,"b":null,"a":1},"z":2,"p":8}`,
			`{"z":2,"m":{"y":1,"c":3,"a":1},"a":4,"q":9,"p":8}`},
		{"the first goes", `{"a":1,"b":2,"c":3}`, `{"a":null}`, `{"b":2,"c":3}`},
		{"the middle goes", `{"a":1,"b":2,"c":3}`, `{"b":null}`, `{"a":1,"c":3}`},
		{"the last goes", `{"a":1,"b":2,"c":3}`, `{"c":null}`, `{"a":1,"b":2}`},
		{"neighbours go", `{"a":1,"b":2,"c":3,"d":4}`, `{"c":null,"b":null}`, `{"a":1,"d":4}`},
		{"all go, one comes", `{"a":1,"b":2}`, `{"b":null,"c":3,"a":null}`, `{"c":3}`},
		{"commas and braces in strings", `{",":",","{":"{","}":"}","\"":"\\"}`, `{"{":",","n":"{"}`,
			`{",":",","{":",","}":"}","\"":"\\","n":"{"}`},
		{"an empty name", `{"":1}`, `{"":{"":{"":null}}}`, `{"":{"":{}}}`},

		{"an object for a scalar", `{"a":1,"b":2}`, `{"a":{"x":null,"y":{"z":null,"k":[null]}}}`, `{"a":{"y":{"k":[null]}},"b":2}`},
		{"a scalar for an object", `{"a":{"x":1},"b":2}`, `{"a":false}`, `{"a":false,"b":2}`},
		{"an empty object for an object", `{"a":{"x":null}}`, `{"a":{}}`, `{"a":{"x":null}}`},
		{"an empty object for an array", `{"a":[1]}`, `{"a":{}}`, `{"a":{}}`},
		{"as deep as it may be", deep(`{"x":1,"y":2}`), deep(`{"x":null,"z":3}`), deep(`{"y":2,"z":3}`)},
		{"and deeper than it may be", `1`, deep(`{"x":null,"z":{}}`), deep(`{"z":{}}`)},

		{"twice in the target", `{"a":1,"b":2,"a":3,"c":4,"a":5}`, `{"a":6}`, `{"b":2,"c":4,"a":6}`},
		{"twice in the target, removed", `{"a":1,"b":2,"a":3}`, `{"a":null}`, `{"b":2}`},
		{"twice in the target, the last an object", `{"a":{"x":1},"b":2,"a":{"y":1}}`, `{"a":{"z":1}}`, `{"b":2,"a":{"y":1,"z":1}}`},
		{"twice in the target, the first an object", `{"a":{"x":1},"a":[]}`, `{"a":{"z":1}}`, `{"a":{"z":1}}`},
		{"twice in the target, not touched", `{"a":1,"a":2,"b":{"c":1,"c":2}}`, `{"b":{"d":3}}`, `{"a":1,"a":2,"b":{"c":1,"c":2,"d":3}}`},
		{"twice in the patch", `{"a":1}`, `{"x":1,"y":2,"x":3,"a":null,"a":4}`, `{"a":4,"x":3,"y":2}`},
		{"twice in the patch, null last", `{"a":1,"b":2}`, `{"a":3,"a":null,"n":1,"n":null}`, `{"b":2}`},
		{"twice in the patch, not one upon the other", `{"a":{}}`, `{"a":{"x":1},"a":{"y":2}}`, `{"a":{"y":2}}`},
		{"twice in the patch, spelled as the last", `{}`, `{"a":1,"\u0061":2}`, `{"\u0061":2}`},

		{"an escape in the target's name", `{"\u0061":1,"b":2}`, `{"a":3}`, `{"\u0061":3,"b":2}`},
		{"an escape in the patch's name", `{"a":1,"b":2}`, `{"\u0061":null,"\u0062":3}`, `{"b":3}`},
		{"a pair", `{"\ud83d\ude00":1}`, `{"😀":2}`, `{"\ud83d\ude00":2}`},
		{"any case", `{"A":1,"a":2}`, `{"a":3}`, `{"A":1,"a":3}`},
		{"halves of pairs", `{"\ud800":1,"\ud801":2,"\ufffd":3}`, `{"\ud801":4}`, `{"\ud800":1,"\ud801":4,"\ufffd":3}`},
		{"half of a pair is not U+FFFD", `{"\ud800":1}`, `{"\ufffd":2}`, `{"\ud800":1,"\ufffd":2}`},
		{"half of a pair as it is spelled", `{"\uD800":1,"\ud800":2}`, `{"\ud800":null}`, `{"\uD800":1}`},
	} {
		if got := merge(c.target, c.patch); got != c.want {
			t.Errorf("%s: %s patched with %s\n got %s\nwant %s", c.what, c.target, c.patch, got, c.want)
		}
	}
}

// The value of a key is shared, so the result of a patch must have bytes of its own.
func TestMergePatchSharesNoBytes(t *testing.T) {
	for _, patch := range []string{`{}`, `{"a":2}`, `{"b":{"x":1}}`, `[1,2,3]`} {
		target, text := []byte(`{"a":1,"b":{"c":2}}`), []byte(patch)
		apply := rawjson.ParseMergePatch(text).Apply
		got := apply(target)
		want := string(got)
		if again := apply(target); string(again) != want {
			t.Errorf("%s: %s, and %s when it is applied again", patch, want, again)
		}
		clear(target)
		clear(text)
		if string(got) != want {
			t.Errorf("%s: %s became %q", patch, want, got)
		}
	}
}

// A short result does not keep the memory of the long value that it replaces.
func TestMergePatchHoldsNoMoreThanItNeeds(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	got := rawjson.ParseMergePatch([]byte(`{"a":1,"c":null}`)).Apply([]byte(`{"a":"` + long + `","c":"` + long + `"}`))
	if string(got) != `{"a":1}` || cap(got) > 64 {
		t.Errorf("got %s in %d bytes", got, cap(got))
	}
}

// A patch takes time and memory in proportion to the lengths of the value and the patch. If
// it took the product of both, this test would not end.
func TestMergePatchIsLinear(t *testing.T) {
	const n = 100_000
	list := func(format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(i)) + ",")
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	same, names, nulls := list(`"a":{}`), list(`"k#":1`), list(`"k#":null`)
	text := `"` + strings.Repeat("x", 1<<20) + `"`
	for _, c := range []struct{ what, target, patch, want string }{
		{"many of one name, for many new members", `{` + same + `}`, `{"a":{` + names + `}}`, `{"a":{` + names + `}}`},
		{"many of one name, for a long text", `{` + same + `}`, `{"a":` + text + `}`, `{"a":` + text + `}`},
		{"all touched", `{` + names + `}`, `{` + names + `}`, `{` + names + `}`},
		{"all removed", `{` + names + `}`, `{` + nulls + `}`, `{}`},
		{"one name in the patch", `{"a":1}`, `{` + same + `}`, `{"a":{}}`},
		{"deep", strings.Repeat(`{"a":`, 63) + `{` + names + `}` + strings.Repeat(`}`, 63),
			strings.Repeat(`{"a":`, 63) + `{` + nulls + `}` + strings.Repeat(`}`, 63),
			strings.Repeat(`{"a":`, 63) + `{}` + strings.Repeat(`}`, 63)},
	} {
		if got := merge(c.target, c.patch); got != c.want {
			t.Errorf("%s: %.100s…", c.what, got)
		}
	}
}

// mergeReference is the pseudocode of RFC 7396, section 2.
func mergeReference(target, patch any) any {
	members, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = make(map[string]any)
	}
	for name, value := range members {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = mergeReference(object[name], value)
		}
	}
	return object
}

// FuzzMergePatch compares with the RFC's pseudocode on values that encoding/json decoded.
// Texts with lone surrogates are not compared, because encoding/json replaces them all by
// the same character.
func FuzzMergePatch(f *testing.F) {
	for i, s := range jsonSeeds {
		f.Add([]byte(s), []byte(`{"a":{"b":null,"c":1}}`))
		f.Add([]byte(`{"a":1,"b":{"a":[1],"c":{}},"\u0061":3}`), []byte(s))
		f.Add([]byte(`{"a":`+s+`}`), []byte(`{"a":{"x":`+jsonSeeds[len(jsonSeeds)-1-i]+`}}`))
	}
	f.Add([]byte(`{"a":1,"b":2,"a":{"c":3}}`), []byte(`{"a":{"d":1},"\u0061":{"c":null}}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		target, err := compact(target, 1<<20)
		if err != nil {
			return
		}
		patch, err = compact(patch, 1<<20)
		if err != nil {
			return
		}
		before := bytes.Clone(target)
		apply := rawjson.ParseMergePatch(patch).Apply
		got := apply(target)
		if !bytes.Equal(target, before) {
			t.Fatalf("the target %q became %q", before, target)
		}
		kept, err := compact(got, 4<<20)
		if tooDeep := depth(got) > 64; (err != nil) != tooDeep {
			t.Fatalf("%q patched with %q is %q: %v", target, patch, got, err)
		} else if !tooDeep && !bytes.Equal(kept, got) {
			t.Fatalf("%q patched with %q is %q, not compact", target, patch, got)
		}
		if again := apply(got); !bytes.Equal(again, got) {
			t.Fatalf("%q patched with %q is %q, and %q when patched again", target, patch, got, again)
		}
		if got := rawjson.ParseMergePatch([]byte(`{}`)).Apply(target); target[0] == '{' && !bytes.Equal(got, target) {
			t.Fatalf("%q patched with {} is %q", target, got)
		}
		if loneSurrogate(target) || loneSurrogate(patch) {
			return
		}
		want := mergeReference(decodeJSON(t, target), decodeJSON(t, patch))
		if have := decodeJSON(t, got); !reflect.DeepEqual(have, want) {
			t.Fatalf("%q patched with %q is %q, want %v", target, patch, got, want)
		}
	})
}

// BenchmarkMergePatch patches one member of an object of 64 KiB. The key's actor waits for
// that.
func BenchmarkMergePatch(b *testing.B) {
	for _, c := range []struct{ what, member string }{
		{"flat", `"member%d":"the quick brown fox",`},
		{"nested", `"member%d":{"on":true,"at":[1.50,-2,3e5],"of":{"name":"é"}},`},
		{"strings", `"member%d":"` + strings.Repeat("x", 4000) + `",`},
		{"escaped", `"\u006dember%d":"\u00e9\n",`},
	} {
		var object strings.Builder
		object.WriteString(`{`)
		for i := 0; object.Len() < 64<<10; i++ {
			fmt.Fprintf(&object, c.member, i)
		}
		object.WriteString(`"last":1}`)
		target := []byte(object.String())
		apply := rawjson.ParseMergePatch([]byte(`{"last":{"seen":2}}`)).Apply
		b.Run(c.what, func(b *testing.B) {
			b.SetBytes(int64(len(target)))
			b.ReportAllocs()
			for b.Loop() {
				if got := apply(target); len(got) < len(target) {
					b.Fatal(string(got))
				}
			}
		})
	}
}
