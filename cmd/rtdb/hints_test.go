package main

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A first attempt that fails says in one line what to do.
func TestHints(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	const secret = "eyJhbGciOiJIUzI1NiJ9.e30.c2VjcmV0"
	for _, test := range []struct {
		env  []string
		args string
		want string // the end of the line
	}{
		// Addresses.
		{nil, "--port " + port, "address already in use: another program listens there: end it, or choose another port by --port ($PORT)"},
		{[]string{"PORT=" + port}, "", "choose another port by --port ($PORT)"},
		{nil, "--port 0 --admin-addr 127.0.0.1:" + port, "choose another port by --admin-addr ($ADMIN_ADDR)"},
		{nil, "--host 192.0.2.1", "this machine does not have the address: set --host ($HOST) to localhost, for this machine alone, or to 0.0.0.0, for all networks"},
		{nil, "--port 0 --admin-addr 192.0.2.1:0", "set --admin-addr ($ADMIN_ADDR) to localhost, for this machine alone, or to 0.0.0.0, for all networks"},
		{nil, "--host nowhere.invalid", `the name "nowhere.invalid" leads to no address: check its spelling, or set --host ($HOST) to localhost, for this machine alone, or to 0.0.0.0, for all networks`},
		{nil, "--host unix:", `$HOST`},
		{nil, "--host unix:@rtdb", "use a path like unix:/run/rtdb.sock"},
		{nil, "--host unix:/" + strings.Repeat("x", 100), "choose a shorter one"},
		{nil, "--admin-addr unix:/run/", `but got "unix:/run/"`},
		{nil, "bench --port 0", "--port ($PORT): expected the port of a server that runs but got 0"},

		// Variables.
		{[]string{"PORT=http"}, "", `rtdb: $PORT (--port): expected a whole number but got "http"`},
		{[]string{"PORT=70000"}, "", "rtdb: $PORT (--port): expected 0 to 65535 but got 70000"},
		{[]string{"PORT=70000"}, "--port 80000", "rtdb: --port ($PORT): expected 0 to 65535 but got 80000"},
		{[]string{"SHUTDOWN_GRACE=15"}, "", `rtdb: $SHUTDOWN_GRACE (--shutdown-grace): expected a duration like 15s or 500ms but got "15": time: missing unit in duration "15"`},
		{[]string{"LOG_LEVEL=loud"}, "", `rtdb: $LOG_LEVEL (--log-level): expected trace, debug, info, warn or error but got "loud"`},
		{[]string{"LOG_FORMAT=xml"}, "", `rtdb: $LOG_FORMAT (--log-format): expected auto, json or console but got "xml"`},
		{[]string{"JWT_SECRET=short"}, "", "rtdb: $JWT_SECRET (--jwt-secret): the secret has 5 bytes: use at least 32"},
		{[]string{"JWT_SECRET=short"}, "token", "rtdb: $JWT_SECRET (--jwt-secret): the secret has 5 bytes: use at least 32"},
		{[]string{"TRUSTED_PROXIES=me"}, "", `rtdb: $TRUSTED_PROXIES (--trusted-proxies): expected addresses like 10.0.0.0/8, or unix, but got "me"`},
		{[]string{"MAX_KEYS=x", "PORT=y", "LOG_LEVEL=z", "MAX_SESSIONS=w"}, "",
			`rtdb: $PORT (--port): expected a whole number but got "y"; $MAX_SESSIONS (--max-sessions): expected a whole number but got "w"; ` +
				`$MAX_KEYS (--max-keys): expected a whole number but got "x"; $LOG_LEVEL (--log-level): expected trace, debug, info, warn or error but got "z"`},

		// Words.
		{nil, "serv", `rtdb: unexpected argument serv, did you mean "rtdb serve"?`},
		{nil, "bnech --rate 1", `did you mean "rtdb bench"?`},
		{nil, "dance", "rtdb: unexpected argument dance: see rtdb --help"},
		{nil, "help dance", "rtdb: unexpected argument dance: see rtdb --help"},
		{nil, "token mak", `rtdb: token: unexpected argument, did you mean "rtdb token make"?`},
		{nil, "token " + secret, "rtdb: token: unexpected argument: to inspect a token, use rtdb token inspect"},
		{nil, "--prot 1", `rtdb: unknown flag --prot, did you mean "--port"?`},
		{nil, "-port 1", "rtdb: unknown flag -p: flags begin with two dashes, such as --port: see rtdb --help"},
		{nil, "--version", `rtdb: unknown flag --version, did you mean "rtdb version"?`},
		{nil, "token --port 1", "rtdb: unknown flag --port: it is a flag of rtdb, rtdb health, rtdb get, rtdb set, and 11 other commands"},
		{nil, "version --max-keys 1", "rtdb: unknown flag --max-keys: it is a flag of rtdb"},
		{nil, "--ttl 1h get a", "rtdb: unknown flag --ttl: it is a flag of rtdb token, rtdb set, rtdb patch: put it after the name of the command"},
		{nil, "--port 0 bench", "put the flags of a command after its name"},
		{nil, "set a", "rtdb: set: expected <value>: see rtdb set --help"},
		{nil, "get", "rtdb: get: expected <key> ...: see rtdb get --help"},
		{nil, "set a -x", "rtdb: unknown flag -x: put -- before arguments that begin with a dash, as in rtdb get -- -x"},
		{nil, "--dance", "rtdb: unknown flag --dance: see rtdb --help"},
	} {
		_, stderr, status := runToEnd(t, test.env, strings.Fields(test.args)...)
		if status == exitOK || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.want) || strings.Contains(stderr, secret) {
			t.Errorf("%q rtdb %s: exit %d with\n%swant one line with\n%s", test.env, test.args, status, stderr, test.want)
		}
	}
}

func TestHelpIsACommand(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"help": "--help", "help token": "token --help", "help token make": "token make --help",
		"token help": "token --help", "token inspect help": "token inspect --help", "bench help": "bench --help",
	} {
		got, stderr, status := runToEnd(t, nil, strings.Fields(given)...)
		help, _, _ := runToEnd(t, nil, strings.Fields(want)...)
		if status != exitOK || stderr != "" || got != help {
			t.Errorf("rtdb %s: exit %d with %q %q, want the text of rtdb %s", given, status, stderr, got, want)
		}
	}
}

// rtdb bench uses the address that the server's settings name.
func TestBenchFindsTheServer(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(p.url, "http://"))
	quick := []string{"bench", "--duration", "50ms", "--subscribers", "2", "--json"}
	for _, test := range []struct{ env, args []string }{
		{nil, []string{"--port", port}},
		{[]string{"PORT=" + port}, nil},
		{[]string{"PORT=" + port, "HOST=0.0.0.0"}, nil},
		{[]string{"PORT=1"}, []string{"--url", p.url}},
	} {
		stdout, stderr, status := runToEnd(t, test.env, slices.Concat(quick, test.args)...)
		if status != exitOK || !strings.Contains(stdout, ":"+port+`"`) {
			t.Errorf("%q %q: exit %d with %q %q", test.env, test.args, status, stderr, stdout)
		}
	}
	if _, stderr, _ := runToEnd(t, []string{"PORT=1"}, quick...); !strings.Contains(stderr, "127.0.0.1:1: connect: connection refused") {
		t.Errorf("with another port: %q", stderr)
	}
}

// The names of levels and forms may be in upper case, and warning is warn.
func TestNamesOfLevels(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"LOG_LEVEL=Debug", "LOG_FORMAT=JSON"})
	p.call("GET", "/healthz", "")
	p.await("http request", 1)
	for given, want := range map[string]string{"WARN": "warn", "warning": "warn", "Trace": "trace", "INFO": "info"} {
		if status, text := p.call("PUT", "/log-level", `{"level":"`+given+`"}`); status != http.StatusOK || text != `{"level":"`+want+`"}` {
			t.Errorf("%s: %d %s, want %s", given, status, text, want)
		}
	}
	if status, text := p.call("PUT", "/log-level", `{"level":"fatal"}`); status != http.StatusBadRequest {
		t.Errorf("fatal: %d %s", status, text)
	}
	for _, e := range p.log() {
		if e["message"] == "log level changed" && !slices.Contains([]any{"warn", "trace", "info"}, e["to"]) {
			t.Errorf("logged %v", e)
		}
	}
	p.call("PUT", "/log-level", `{"level":"info"}`)
	p.stop()
}
