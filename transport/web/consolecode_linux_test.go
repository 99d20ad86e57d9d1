package web_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// The code that the console offers is correct for names and values that need quotes. The
// curl commands and the JavaScript are run.
func testConsoleCode(t *testing.T, browser *transporttest.Chromium) {
	transporttest.NeedTool(t, "curl")
	s := transporttest.NewServer(t, transport.Options{Console: true})
	const key, value = "it's/\"q\" $(id) `id` \\n/%2F\u202e[1-9]{a,b}", `"it's \"quoted\" $HOME \\ \u0000 é ` + "\u202e" + `"`
	set(t, s, key, value, "plain", `{"__proto__":{"a":1},"b":[1,null]}`, "big", "12345678901234567890")
	p := openConsole(t, browser, s.URL(), "")
	copyOf := func(fragment, language, action string) string {
		t.Helper()
		p.Run(`location.hash = `+quote(fragment), nil)
		p.Await(`document.querySelector("json-editor textarea")?.value !== ""`)
		p.click("key-page button", "Copy as…")
		p.click("dialog label", language)
		p.click("dialog label", action)
		code := p.text("dialog pre")
		p.press("Escape")
		p.Await(`document.querySelector("dialog") === null`)
		return code
	}
	route := func(key string) string { return p.Run(`"#/keys/" + encodeURIComponent(`+quote(key)+`)`, nil) }
	sh := func(code string) string {
		t.Helper()
		out, err := exec.Command("sh", "-c", code).Output()
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		return string(out)
	}
	p.Run(`location.hash = `+quote(route(key)), nil)
	p.sees("key-page h2", "it's")

	if got := sh(copyOf(route(key), "curl", "read")); !strings.Contains(got, `"value":`+value+`,`) {
		t.Errorf("curl reads %s", got)
	}
	sh(copyOf(route(key), "curl", "write"))
	if e, err := s.Keyspace.Get(key); err != nil || string(e.Value) != value {
		t.Errorf("curl has written %s: %v", e.Value, err)
	}
	sh(copyOf(route(key), "curl", "delete"))
	if got := valueOf(s, key); got != "" {
		t.Errorf("curl has left %s", got)
	}
	set(t, s, key, value)

	// The page may not evaluate code. DevTools may. The imports become calls.
	run := func(code string) {
		t.Helper()
		code = strings.Replace(code, `import { connect } from "`, `const { connect } = await import("`, 1)
		code = strings.Replace(code, "rtdb.js\";\n", "rtdb.js\");\n", 1)
		p.Run("(async () => {\n"+code+"\n})()", nil)
	}
	for k, v := range map[string]string{key: value, "plain": `{"__proto__":{"a":1},"b":[1,null]}`, "big": "12345678901234567890"} {
		code := copyOf(route(k), "JavaScript", "write")
		if _, err := s.Keyspace.Delete(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		run(code)
		if got := valueOf(s, k); got != v && got != strings.ReplaceAll(v, "\u202e", `\u202e`) {
			t.Errorf("this has written %s, want %s:\n%s", got, v, code)
		}
	}

	var programs []string
	for _, action := range []string{"read", "write", "follow", "delete"} {
		code := copyOf(route(key), "Go", action)
		programs = append(programs, code)
		literals := stringsIn(t, code)
		if !literals[key] || action == "write" && !literals[value] {
			t.Errorf("no literal is the key and the value:\n%s", code)
		}
	}
	p.Run(`location.hash = "#/delete?pattern=a%2F%23"`, nil)
	p.click("delete-page button", "Copy as…")
	for _, action := range []string{"delete", "list", "follow"} {
		p.click("dialog label", "Go")
		p.click("dialog label", action)
		programs = append(programs, p.text("dialog pre"))
	}
	p.click("dialog label", "JavaScript")
	p.click("dialog label", "delete")
	set(t, s, "a/1", "1", "a", "2")
	run(p.text("dialog pre"))
	if valueOf(s, "a")+valueOf(s, "a/1") != "" {
		t.Error("the JavaScript for a pattern has deleted nothing")
	}
	p.click("dialog button", "Copy")
	p.sees("dialog", "copied")
	p.press("Escape")
	p.Run(`location.hash = "#/topics"`, nil)
	p.write(`input[aria-label="Topic to publish to"]`, "chat/1")
	p.write("json-editor textarea", `"x"`)
	p.click("form button", "Copy as…")
	p.click("dialog label", "Go")
	for _, action := range []string{"publish", "listen"} {
		p.click("dialog label", action)
		programs = append(programs, p.text("dialog pre"))
	}
	compile(t, programs)
}

// stringsIn returns the string literals of a Go file.
func stringsIn(t *testing.T, code string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", code, parser.AllErrors)
	if err != nil {
		t.Fatalf("%v:\n%s", err, code)
	}
	literals := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Errorf("%s: %v", l.Value, err)
			}
			literals[text] = true
		}
		return true
	})
	return literals
}

// compile checks that Go programs compile, as packages of this module, without linking them.
func compile(t *testing.T, programs []string) {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json")}
	for i, code := range programs {
		if formatted, err := format.Source([]byte(code)); err != nil || string(formatted) != code {
			t.Errorf("it is not formatted: %v\n%s", err, code)
		}
		file := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(file, []byte(strings.Replace(code, "package main", "package program", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, fmt.Sprintf("program%d", i), "main.go")] = file
		args = append(args, fmt.Sprintf("./program%d", i))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(args[2], overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, strings.Join(programs, "\n"))
	}
}
