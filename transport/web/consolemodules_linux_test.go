package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A proxy may serve the console below a path of its own, and refuse WebSockets.
func testConsoleBehindAPrefix(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	set(t, s, "a", "1")
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix("/some/db", httputil.NewSingleHostReverseProxy(target)))
	t.Cleanup(proxy.Close)
	p := openConsole(t, browser, proxy.URL+"/some/db", "")
	wantRows(t, p, "a||1")
	p.sees(".state", "live")
	set(t, s, "a", "2")
	wantRows(t, p, "a||2")
	p.Run(`location.hash = "#/keys/a"`, nil)
	p.Await(`document.querySelector("json-editor textarea")?.value === "2"`)
	p.click("key-page button", "Copy as…")
	p.sees("dialog pre", "curl '"+proxy.URL+"/some/db/data/a'")

	// Values are live without a WebSocket too.
	p.Call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `window.WebSocket = undefined`}, nil)
	p.visit("#/keys/a")
	p.sees(".state", "live")
	set(t, s, "a", "12345678901234567890")
	wantRows(t, p, "a||12345678901234567890")
	p.Await(`document.querySelector("json-editor textarea")?.value === "12345678901234567890"`)
}

// The console's rules for names, patterns and JSON are the server's.
func testConsoleModules(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	p := openConsole(t, browser, s.URL(), "")
	// each calls a function of a module for lists of arguments, and returns its results.
	each := func(module, function string, arguments any, into any) {
		t.Helper()
		list, err := json.Marshal(arguments)
		if err != nil {
			t.Fatal(err)
		}
		p.Run(fmt.Sprintf(`import("./%s").then(({ %s: f }) => %s.map(a => f(...a)))`, module, function, list), into)
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same each time

	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	levels := func(from ...string) string {
		var all []string
		for range 1 + random.IntN(4) {
			all = append(all, pick(from...))
		}
		return strings.Join(all, "/")
	}
	var names, patterns []string
	for range 2000 {
		names = append(names, levels("a", "b", "", ".", "..", "a b", "é", "+", "#", "x\x01", strings.Repeat("n", 200)))
		patterns = append(patterns, levels("a", "b", "+", "+", "#", "a+", "", "#"))
	}
	check := func(function string, texts []string, valid func(string) error) []string {
		t.Helper()
		var arguments [][]string
		for _, text := range texts {
			arguments = append(arguments, []string{text})
		}
		var got, good []string
		each("pattern.js", function, arguments, &got)
		for i, text := range texts {
			if (got[i] == "") != (valid(text) == nil) {
				t.Errorf("%s(%q): %q, and the server says %v", function, text, got[i], valid(text))
			}
			if valid(text) == nil {
				good = append(good, text)
			}
		}
		return good
	}
	names = check("checkName", names, keyspace.CheckName)
	patterns = check("checkPattern", patterns, keyspace.CheckPattern)
	for function, same := range map[string]func(a, b string) bool{
		"matches": keyspace.Matches, "covers": keyspace.Covers, "coversPrefix": keyspace.CoversPrefix,
	} {
		var arguments [][]string
		for i := range 2000 {
			a, b := patterns[i%len(patterns)], patterns[random.IntN(len(patterns))]
			if function != "covers" {
				b = names[random.IntN(len(names))]
			}
			if function == "coversPrefix" {
				b = b[:strings.LastIndexByte(b, '/')+1]
			}
			arguments = append(arguments, []string{a, b})
		}
		var got []bool
		each("pattern.js", function, arguments, &got)
		for i, a := range arguments {
			if want := same(a[0], a[1]); got[i] != want {
				t.Errorf("%s(%q, %q) is %v, want %v", function, a[0], a[1], got[i], want)
			}
		}
	}

	// JSON, and texts that are nearly JSON.
	var texts [][]string
	var value func(depth int) string
	value = func(depth int) string {
		if depth > 0 && random.IntN(3) > 0 {
			var items []string
			for range random.IntN(4) {
				items = append(items, value(depth-1))
			}
			if random.IntN(2) == 0 {
				return "[" + strings.Join(items, pick(",", " , ", ",\n")) + "]"
			}
			for i := range items {
				items[i] = pick(`"a"`, `"value"`, `"__proto__"`, `"\u00e9"`, `""`) + pick(":", " : ") + items[i]
			}
			return "{" + strings.Join(items, ",") + "}"
		}
		return pick("0", "-1", "1.50", "12345678901234567890", "1e400", "-0.0E-7", "true", "false", "null", `"a\"b"`, `"\\"`, `"\ud83d\ude00"`, `"<b>"`, `"\u202e"`, `" "`)
	}
	for range 1500 {
		text := value(4)
		texts = append(texts, []string{text})
		if at := random.IntN(len(text)); random.IntN(2) == 0 {
			texts = append(texts, []string{text[:at] + pick("", ",", "1", `"`, "]", "}", "\\", "\x01", ".", "e", "tru", "'") + text[at+1:]})
		}
	}
	for _, text := range []string{
		"", strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat(`{"a":`, 90000),
	} {
		texts = append(texts, []string{text})
	}
	var problems []json.RawMessage
	each("json.js", "check", texts, &problems)
	var good [][]string
	for i, text := range texts {
		valid := json.Valid([]byte(text[0])) && depth(text[0]) <= 64
		if valid != (string(problems[i]) == "null") {
			t.Errorf("check(%.80q): %s, want valid: %v", text[0], problems[i], valid)
		}
		if valid {
			good = append(good, text)
		}
	}
	var formatted, compacted []string
	each("json.js", "format", good, &formatted)
	each("json.js", "compact", good, &compacted)
	for i, text := range good {
		var want, again bytes.Buffer
		if json.Compact(&want, []byte(text[0])) != nil || json.Compact(&again, []byte(formatted[i])) != nil || again.String() != want.String() || compacted[i] != want.String() {
			t.Errorf("%s is laid out as %s, and compacted to %s", text[0], formatted[i], compacted[i])
		}
	}
}

// depth returns how deep brackets are nested in a JSON text.
func depth(text string) (deepest int) {
	now, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			now++
			deepest = max(deepest, now)
		case c == ']' || c == '}':
			now--
		}
	}
	return deepest
}
