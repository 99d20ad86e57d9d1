package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport/transporttest"
)

// moving are the parts of an output that differ in each run.
var moving = regexp.MustCompile(`\b1\d{15}\b|"at":\d{13}|"expires_in":[\d.]+`)

// A commandStep is a command with its expected output.
type commandStep struct {
	args string // separated by spaces; ␣ stands for a space in an argument
	in   string // standard input
	out  string // V is a version, and T stands for a time
	errs string // a part of the line on standard error; empty: no line
}

func (step commandStep) check(t *testing.T, env []string) {
	t.Helper()
	args := strings.Fields(step.args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "␣", " ")
	}
	out, errs, status := runWithInput(t, env, strings.NewReader(step.in), args...)
	out = moving.ReplaceAllStringFunc(out, func(s string) string {
		if name, _, isField := strings.Cut(s, ":"); isField {
			return name + ":T"
		}
		return "V"
	})
	wantStatus := exitOK
	if step.errs != "" {
		wantStatus = exitFailure
	}
	if usage, isUsage := strings.CutPrefix(step.errs, "usage: "); isUsage {
		wantStatus, step.errs = exitBadUsage, usage
	}
	lines := min(len(step.errs), 1)
	if out != step.out || status != wantStatus || strings.Count(errs, "\n") != lines || !strings.Contains(errs, step.errs) ||
		lines == 1 && !strings.HasPrefix(errs, "rtdb: ") || strings.Count(errs, "rtdb: ") > 1 {
		t.Errorf("rtdb %s: exit %d with\n%s%swant exit %d with\n%s%s", step.args, status, out, errs, wantStatus, step.out, step.errs)
	}
}

func TestKeyCommands(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	env := []string{"RTDB_URL=" + p.url}
	for _, step := range []commandStep{
		// Values are kept letter for letter.
		{args: `set a 12345678901234567890`, out: "V\n"},
		{args: `get a`, out: "12345678901234567890\n"},
		{args: `set a -1.50`, out: "V\n"},
		{args: `set b {"x":[1e400,"\u00e9<>&"],"x":1} --ttl 1h`, out: "V\n"},
		{args: `set c -`, in: " [1,\n2] \n", out: "V\n"},
		{args: `set d hello␣world --text`, out: "V\n"},
		{args: `set e - --text`, in: "two\nlines\n", out: "V\n"},
		{args: `set -- -f -7`, out: "V\n"},
		{args: `get a b c d e`, out: "-1.50\n{\"x\":[1e400,\"\\u00e9<>&\"],\"x\":1}\n[1,2]\n\"hello world\"\n\"two\\nlines\\n\"\n"},
		{args: `get -- -f`, out: "-7\n"},
		{args: `get b --json`, out: `{"key":"b","value":{"x":[1e400,"\u00e9<>&"],"x":1},"version":V,"at":T,"expires_in":T}` + "\n"},
		{args: `get a none a nor\"this`, out: "-1.50\n-1.50\n", errs: `get: there is no key "none", "nor\\\"this"`},

		// Conditions.
		{args: `set a 1 --if-version 0`, errs: `rtdb: set "a": the key is at version`},
		{args: `set new 1 --if-version 0`, out: "V\n"},
		{args: `patch new {"x":{"y":1}}`, out: "V\n"},
		{args: `patch new -`, in: `{"x":{"z":2}}`, out: "V\n"},
		{args: `get new`, out: `{"x":{"y":1,"z":2}}` + "\n"},
		{args: `patch new 1 --if-version 5`, errs: "version_mismatch"},
		{args: `delete new --if-version 5`, errs: "version_mismatch"},
		{args: `delete new`, out: "V\n"},
		{args: `delete a new b`, out: "V\nV\n", errs: `rtdb: delete: there is no key "new"`},
		{args: `delete -- -f`, out: "V\n"},
		{args: `publish chat "hi"`},
		{args: `publish chat -`, in: "{}"},

		// Lists.
		{args: `set s/1/x 1`, out: "V\n"}, {args: `set s/2/x {"k":"␣v"} --ttl 1h`, out: "V\n"}, {args: `set s/2 3`, out: "V\n"},
		{args: `list s`, out: "s/1/x\tV\t1\ns/2\tV\t3\ns/2/x\tV\t{\"k\":\" v\"}\n"},
		{args: `list s/2 --json`, out: `{"key":"s/2","value":3,"version":V,"at":T}` + "\n" + `{"key":"s/2/x","value":{"k":" v"},"version":V,"at":T,"expires_in":T}` + "\n"},
		{args: `list --level`, out: "c\tV\t[1,2]\nd\tV\t\"hello world\"\ne\tV\t\"two\\nlines\\n\"\ns/\t\t3\n"},
		{args: `list --level --json s/`, out: "{\"prefix\":\"s/1/\",\"keys\":1}\n" + `{"key":"s/2","value":3,"version":V,"at":T}` + "\n{\"prefix\":\"s/2/\",\"keys\":1}\n"},
		{args: `list --keys --pattern s/+/x`, out: "s/1/x\ns/2/x\n"},
		{args: `list --keys --limit 2 --reverse`, out: "s/2/x\ns/2\n"},
		{args: `list none`},

		// Deletes by pattern.
		{args: `delete --pattern s/+/x --yes`, out: "2\n"},
		{args: `delete --pattern s/+/x --yes`, out: "0\n"},
		{args: `delete --pattern s/#`, errs: "delete: a delete by pattern asks first, and there is no terminal: use --yes"},
		{args: `list s --keys`, out: "s/2\n"},

		// Bad input.
		{args: `set a hello`, errs: `usage: set: the value hello is not JSON: for a string use --text, or quotes within quotes, as in '"on"'`},
		{args: `set a {"x":`, errs: `usage: set: the value {"x": is not JSON`},
		{args: `set a ` + strings.Repeat("x", 5000), errs: "usage: set: the value " + strings.Repeat("x", 60) + "… is not JSON"},
		{args: `set a -`, in: "nothing", errs: `set: the value nothing is not JSON`},
		{args: `set a -`, errs: `set: the value is empty`},
		{args: `set a -`, in: "\"\xff\"", errs: `set: the value "\"\xff\"" is not UTF-8`},
		{args: `set a 1 --ttl -5s`, errs: "usage: --ttl"},
		{args: `set a 1 --ttl 0x`, errs: "usage: --ttl"},
		{args: `set a 1 --if-version x`, errs: "usage: --if-version"},
		{args: `set a 1 2`, errs: "usage: unexpected argument 2"},
		{args: `set a`, errs: "usage: set: expected <value>"},
		{args: `set a//b 1`, errs: `set "a//b": not a valid name`},
		{args: `get a+`, errs: `get "a+": not a valid name`},
		{args: `set a ["` + strings.Repeat("x", 70000) + `"]`, errs: "too_large"},
		{args: `patch a {x}`, errs: "usage: patch: the value {x} is not JSON"},
		{args: `publish a# 1`, errs: `publish to "a#": not a valid name`},
		{args: `list --pattern a#`, errs: "list: not a valid pattern"},
		{args: `list --limit -1`, errs: "usage: --limit"},
		{args: `list --json --keys`, errs: "usage: --json and --keys can't be used together"},
		{args: `delete`, errs: "usage: delete: name the keys to delete, or use --pattern"},
		{args: `delete a --pattern b`, errs: "usage: delete: name keys or use --pattern, and not both"},
		{args: `delete a b --if-version 1`, errs: "usage: delete: --if-version needs exactly one key"},
		{args: `delete --pattern a# --yes`, errs: "not a valid pattern"},
		{args: `watch`, errs: "usage: watch: name keys to follow"},
		{args: `delete a/#`, errs: `usage: delete: "a/#" is a pattern, and not a key: use --pattern`},
		{args: `watch a#`, errs: "invalid_name"},
		{args: `watch a/`, errs: `usage: watch: "a/" is not a pattern: for all names below it use 'a/#'`},
		{args: `watch a --topic b#`, errs: "invalid_name"},
		{args: `watch a --table`, errs: "watch: --table needs a terminal"},
		{args: `watch a --table --json`, errs: "usage: --json and --table can't be used together"},
		{args: `watch a --recent`, errs: "usage: watch: --recent needs --table"},
		{args: `watch a --limit=-1`, errs: "usage: --limit: expected 0 or more but got -1"},
		{args: `watch a --table --limit 1`, errs: "usage: watch: --table prints no lines"},
		{args: `watch --table --topic a`, errs: "usage: watch: --table shows keys"},
		{args: `get a --timeout 0s`, errs: "usage: --timeout: expected a duration above 0"},
	} {
		step.check(t, env)
	}
}

// Each way in which a server may fail is one line, soon.
func TestKeyCommandsWithoutAServer(t *testing.T) {
	t.Parallel()
	locked := start(t, []string{"JWT_SECRET=" + testSecret})
	open := start(t, nil)
	reader := transporttest.Token(t, "", `{"read":["a"]}`, time.Hour)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[31m") }))
	defer web.Close()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":{"code":"unavailable","message":"the server \u001b[31m loads\nits state"}}`)
	}))
	defer down.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	go func() {
		for {
			c, err := garbage.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9\r\n")
			_ = c.Close()
		}
	}()
	for _, test := range []struct{ flags, want string }{
		{"--url http://127.0.0.1:1", "cannot reach http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused: check --url ($RTDB_URL), or --host and --port"},
		{"--url http://nowhere.invalid", "cannot reach http://nowhere.invalid"},
		{"--url " + locked.url, "(unauthorized): give a valid token by --token ($RTDB_TOKEN)"},
		{"--url " + locked.url + " --token nonsense", "(unauthorized): give a valid token"},
		{"--url " + locked.url + " --token " + reader + "x", "(unauthorized): give a valid token"},
		{"--url " + locked.url + " --token " + reader, "(forbidden)"},
		{"--url " + web.URL, "not an rtdb server"},
		{"--url " + open.url + "/below", "there is nothing at this path (not_found): check the path of --url ($RTDB_URL)"},
		{"--url " + down.URL, `the server \u001b[31m loads its state (unavailable)`},
		{"--url http://" + garbage.Addr().String(), "cannot reach http://" + garbage.Addr().String()},
		{"--url https://" + strings.TrimPrefix(web.URL, "http://"), "server gave HTTP response to HTTPS client"},
		{"--host unix:/none/rtdb.sock", "no such file or directory"},
		{"--timeout 200ms --url http://" + mute.Addr().String(), "the server has not answered within 200ms: see --timeout"},
		{"--url ftp://x", "usage: --url ($RTDB_URL): expected a URL like http://localhost:8080 but got"},
		{"--url localhost:8080", "usage: --url ($RTDB_URL)"},
		{"--url http://user:secret@localhost", "usage: --url ($RTDB_URL): the URL has a user"},
		{"--port 0", "usage: --port ($PORT)"},
	} {
		flags := test.flags
		if !strings.Contains(flags, "--timeout") {
			flags += " --timeout 1h" // a command that waited would not end in time
		}
		for _, args := range []string{"get k", "set k 1", "list", "publish t 1", "delete --yes --pattern k"} {
			commandStep{args: args + " " + flags, errs: test.want}.check(t, nil)
			if !strings.HasPrefix(args, "get") && !strings.Contains(flags, locked.url) {
				break // the others fail in the same way
			}
		}
	}
	commandStep{args: "get a --token " + reader, errs: `there is no key "a"`}.check(t, []string{"RTDB_URL=" + locked.url})
	// The arguments count more than $RTDB_URL, and it counts more than $PORT.
	commandStep{args: "get a --port 1", errs: "cannot reach http://127.0.0.1:1"}.check(t, []string{"RTDB_URL=" + locked.url})
	commandStep{args: "get a", errs: "unauthorized"}.check(t, []string{"PORT=1", "RTDB_URL=" + locked.url})
}

// A write whose reply does not come may have been made, and the error says so.
func TestWriteWithoutAReply(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reply func(*websocket.Conn) // to the request
		args  string
		want  string
	}{
		"lost":       {func(*websocket.Conn) {}, "set a 1", "the connection was lost before the reply came"},
		"mute":       {func(c *websocket.Conn) { _, _, _ = c.ReadMessage() }, "set a 1 --timeout 300ms", "the server has not answered within 300ms: see --timeout: the write may have been made"},
		"garbage":    {func(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte("<html>\x1b")) }, "delete a", `not an rtdb server: it sent "<html>\x1b"`},
		"read":       {func(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte("<html>")) }, "get a", `not an rtdb server: it sent "<html>"`},
		"read, mute": {func(c *websocket.Conn) { _, _, _ = c.ReadMessage() }, "get a --timeout 300ms", "the server has not answered within 300ms: see --timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := (&websocket.Upgrader{Subprotocols: []string{"rtdb.v1"}}).Upgrade(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if _, _, err := c.ReadMessage(); err != nil {
					return
				}
				_ = c.WriteMessage(websocket.TextMessage, []byte(`{"id":0,"ok":true,"action":"pong"}`))
				if _, _, err := c.ReadMessage(); err == nil {
					test.reply(c)
				}
			}))
			defer server.Close()
			args := test.args + " --url " + server.URL
			if !strings.Contains(args, "--timeout") {
				args += " --timeout 1h" // a command that waited would not end in time
			}
			commandStep{args: args, errs: test.want}.check(t, nil)
		})
	}
}
