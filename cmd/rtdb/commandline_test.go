package main

import (
	"net"
	"strings"
	"testing"
)

// A wrong setting is one line on standard error.
func TestWrongSettings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, takenPort, _ := net.SplitHostPort(taken.Addr().String())
	for _, test := range []struct {
		env    []string
		args   []string
		status int
		want   string // in the line
	}{
		{nil, []string{"--port", "x"}, 2, "--port"},
		{nil, []string{"--port", "70000"}, 2, "--port"},
		{nil, []string{"--port", "-1"}, 2, "--port"},
		{nil, []string{"--port"}, 2, "--port"},
		{[]string{"PORT=http"}, nil, 2, "PORT"},
		{[]string{"PORT=80\n80"}, nil, 2, "PORT"},
		{nil, []string{"--host", ""}, 2, "--host"},
		{nil, []string{"--log-level", "loud"}, 2, "--log-level"},
		{[]string{"LOG_LEVEL=INFO!"}, nil, 2, "--log-level"},
		{nil, []string{"--log-format=xml"}, 2, "--log-format"},
		{[]string{"LOG_FORMAT=xml"}, nil, 2, "--log-format"},
		{nil, []string{"--max-value-bytes=0"}, 2, "--max-value-bytes"},
		{[]string{"MAX_VALUE_BYTES=64k"}, nil, 2, "MAX_VALUE_BYTES"},
		{nil, []string{"--shutdown-grace=15"}, 2, "--shutdown-grace"},
		{[]string{"SHUTDOWN_GRACE=-1s"}, nil, 2, "--shutdown-grace"},
		{nil, []string{"--jwt-secret", "short"}, 2, "--jwt-secret ($JWT_SECRET): the secret has 5 bytes"},
		{nil, []string{"--jwt-secret="}, 2, "--jwt-secret: it is empty"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--jwt-secret", ""}, 2, "--jwt-secret: it is empty"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--jwt-public-key-file", "/none"}, 2, "exclude each other"},
		{nil, []string{"--jwt-public-key-file", "/none"}, 2, "--jwt-public-key-file"},
		{nil, []string{"--jwt-public-key-file", "main.go"}, 2, "no PEM block found"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--jwt-secret-file", "/none"}, 2, "--jwt-secret-file ($JWT_SECRET_FILE) exclude each other"},
		{[]string{"JWT_SECRET_FILE=/none"}, []string{"--jwks-file", "/none"}, 2, "exclude each other"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"token", "--jwt-secret-file", "/none"}, 2, "exclude each other"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"token", "inspect", "--jwks-url", "https://id.example/", "x"}, 2, "exclude each other"},
		{nil, []string{"--jwt-secret-file", "/none"}, 2, "--jwt-secret-file ($JWT_SECRET_FILE): stat /none"},
		{nil, []string{"--jwt-secret-file", "main.go"}, 2, "--jwt-secret-file ($JWT_SECRET_FILE): main.go: line 1: the secret has 12 bytes"},
		{nil, []string{"--jwt-secret-file", "bench"}, 2, "--jwt-secret-file"},
		{nil, []string{"--jwks-file", "main.go"}, 2, "--jwks-file ($JWKS_FILE): main.go: not a JWK Set"},
		{nil, []string{"--jwks-url", "http://id.example/jwks"}, 2, "--jwks-url ($JWKS_URL): expected a URL like https://"},
		{nil, []string{"--jwks-url", "id.example"}, 2, "--jwks-url"},
		{nil, []string{"--jwt-audience", "rtdb"}, 2, "--jwt-audience ($JWT_AUDIENCE): it needs a key"},
		{nil, []string{"--jwt-issuer", "https://id.example"}, 2, "--jwt-issuer ($JWT_ISSUER): it needs a key"},
		{[]string{"JWT_SECRET=" + testSecret, "JWT_LEEWAY=-1s"}, nil, 2, "--jwt-leeway"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--jwt-leeway", "6m"}, 2, "--jwt-leeway ($JWT_LEEWAY): expected 0s to 5m0s"},
		{nil, []string{"--token-cookie", "t"}, 2, "--token-cookie ($TOKEN_COOKIE): it needs a key"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--token-cookie", "a b"}, 2, "--token-cookie ($TOKEN_COOKIE): expected the name"},
		{nil, []string{"--anonymous-grants", `{"read":["#"]}`}, 2, "--anonymous-grants"},
		{[]string{"JWT_SECRET=" + testSecret}, []string{"--anonymous-grants", `{"raed":["#"]}`}, 2, "--anonymous-grants"},
		{[]string{"ALLOWED_ORIGINS=https://a.example, b.example"}, nil, 2, `"b.example"`},
		{nil, []string{"--allowed-origins", "https://a.example/"}, 2, "--allowed-origins"},
		{nil, []string{"--trusted-proxies", "10.0.0.0/33"}, 2, "--trusted-proxies"},
		{nil, []string{"--fsync", "sometimes"}, 2, `--fsync: expected always, never, or a duration from 1ms to 1m such as 100ms, but got "sometimes"`},
		{[]string{"FSYNC=5m"}, nil, 2, `$FSYNC (--fsync): expected always, never`},
		{nil, []string{"--disk-reserve", "10%"}, 2, `--disk-reserve: expected a size such as 256MiB, 1GB or a number of bytes, but got "10%"`},
		{[]string{"DISK_RESERVE=-1"}, nil, 2, "$DISK_RESERVE (--disk-reserve): "},
		{nil, []string{"--data-dir", ""}, 2, "--data-dir: it is empty"},
		{nil, []string{"--tls-cert-file", "x.pem"}, 2, "go together"},
		{nil, []string{"--port", "0", "--tls-cert-file", "/none", "--tls-key-file", "/none"}, 1, "--tls-cert-file"},
		{nil, []string{"--admin-addr", "9090"}, 2, "--admin-addr"},
		{nil, []string{"--port", "0", "--admin-addr", "127.0.0.1:" + takenPort}, 1, "address already in use"},
		{nil, []string{"--max-sessions=-1"}, 2, "--max-sessions"},
		{nil, []string{"--max-subscriptions=0"}, 2, "--max-subscriptions"},
		{[]string{"MAX_KEYS=many"}, nil, 2, "MAX_KEYS"},
		{nil, []string{"--max-request-rate=-1"}, 2, "--max-request-rate"},
		{nil, []string{"--max-request-rate=NaN"}, 2, "--max-request-rate"},
		{nil, []string{"--max-pending-bytes=0"}, 2, "--max-pending-bytes"},
		{nil, []string{"--header-timeout=0s"}, 2, "--header-timeout"},
		{nil, []string{"--idle-timeout=1"}, 2, "--idle-timeout"},
		{nil, []string{"--message-timeout=-1s"}, 2, "--message-timeout"},
		{nil, []string{"--no-such-flag"}, 2, "--no-such-flag"},
		{nil, []string{"dance"}, 2, "dance: see rtdb --help"},
		{nil, []string{"--port", "0", "health"}, 1, "put the flags of a command after its name"},
		{nil, []string{"bench", "--port", "0"}, 2, "--port"},
		{nil, []string{"demo", "--sensors", "10001"}, 2, "--sensors: expected 0 to 10000"},
		{nil, []string{"demo", "--devices", "101"}, 2, "rtdb simulate adds more"},
		{nil, []string{"demo", "--max-keys=-1"}, 2, "--max-keys"},
		{nil, []string{"demo", "--data-dir", "x"}, 2, "it is a flag of rtdb"},
		{nil, []string{"demo", "--port", takenPort}, 1, "127.0.0.1:" + takenPort + ": address already in use"},
		{nil, []string{"simulate", "--devices", "0"}, 2, "--devices"},
		{nil, []string{"simulate", "--interval", "1ms"}, 2, "--interval: expected 10ms to 1h"},
		{nil, []string{"simulate", "--prefix", "a/+"}, 2, "--prefix"},
		{nil, []string{"simulate", "--url", "db.example"}, 1, "use a URL like http://localhost:8080"},
		{nil, []string{"--port", takenPort}, 1, "127.0.0.1:" + takenPort + ": address already in use"},
		{nil, []string{"--port", takenPort, "--host", "127.0.0.1"}, 1, "address already in use"},
		{nil, []string{"--port", takenPort, "--host", "[127.0.0.1]"}, 1, "127.0.0.1:" + takenPort + ": address already in use"},
		{nil, []string{"--host", "192.0.2.1", "--port", "0"}, 1, "192.0.2.1"},
	} {
		stdout, stderr, status := runToEnd(t, test.env, test.args...)
		if status != test.status || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "rtdb: ") ||
			!strings.Contains(stderr, test.want) || stdout != "" {
			t.Errorf("%q %q: exit %d with %q, want exit %d with one line about %s", test.env, test.args, status, stderr, test.status, test.want)
		}
	}
}

// A flag counts more than its variable, and the variable more than the default.
func TestPrecedenceOfSettings(t *testing.T) {
	for _, test := range []struct {
		env  []string
		args []string
		want float64
	}{
		{nil, nil, 65536},
		{[]string{"MAX_VALUE_BYTES="}, nil, 65536}, // empty is unset
		{[]string{"MAX_VALUE_BYTES=1000"}, nil, 1000},
		{[]string{"MAX_VALUE_BYTES=1000"}, []string{"--max-value-bytes=2000"}, 2000},
		{[]string{"MAX_VALUE_BYTES=nonsense"}, []string{"--max-value-bytes=2000"}, 2000},
	} {
		env := append(test.env, "HOST=", "LOG_LEVEL=", "LOG_FORMAT=", "SHUTDOWN_GRACE=", "PORT=")
		p := start(t, env, test.args...)
		if got := p.started["max_value_bytes"]; got != test.want {
			t.Errorf("%q %q: max_value_bytes %v, want %v", test.env, test.args, got, test.want)
		}
		p.stop()
	}
	p := start(t, []string{"HOST=127.0.0.1", "LOG_LEVEL=debug", "SHUTDOWN_GRACE=3s"})
	if l := p.started["listeners"].([]any); len(l) != 1 || p.started["shutdown_grace_ms"] != 3000.0 {
		t.Errorf("started with %v", p.started)
	}
	p.call("GET", "/healthz", "")
	p.await("http request", 1) // only at debug
	p.stop()
}

// Each command's help lists its own flags, and fits a terminal of 80 columns.
func TestHelp(t *testing.T) {
	for _, test := range []struct {
		args       []string
		want, lack []string // want is in this order
	}{
		{nil, []string{
			"serve ", "health ", "token make ", "token inspect ", "get ", "set ", "patch ", "delete ", "list ", "watch ", "publish ", "bench ", "export ", "import ", "backup ", "check ", "repair ", "restore ", "demo ", "simulate ", "version ", "completion ",
			"Listening:", `--host="localhost"`, "[$HOST]", "--port=8080", "[$PORT]", "--admin-addr=",
			"Access ", "--jwt-secret=", "--jwt-public-key-file=", "--anonymous-grants=", "--allowed-origins=", "--trusted-proxies=",
			"TLS:", "--tls-cert-file=", "--tls-key-file=",
			"Storage ", "--data-dir=DIR", "[$DATA_DIR]", "--fsync=always", "--disk-reserve=256MiB", "[$DISK_RESERVE]",
			"Several nodes ", "--nats-url=URL,...", "[$NATS_URL]", "--nats-creds=FILE", "--nats-seed=FILE", "--nats-tls-ca=FILE", "--nats-tls-cert=FILE", "--nats-tls-key=FILE",
			`--nats-stream="rtdb"`, "--nats-replicas=0", "--node=NAME", "[$NODE_NAME]",
			"Limits:", "--max-value-bytes=65536", "[$MAX_VALUE_BYTES]", "--message-timeout=10s",
			"Logging:", `--log-level="info"`, "[$LOG_LEVEL]", `--log-format="auto"`, "[$LOG_FORMAT]",
			"Tuning:", "--flush-interval=1ms", "--shutdown-grace=15s", "[$SHUTDOWN_GRACE]",
		}, []string{"--rate", "--ttl"}},
		{[]string{"serve"}, []string{"Listening:", "--port", "Tuning:"}, []string{"health"}},
		{[]string{"bench"}, []string{"--host", "--port", "--url", "--rate", "--json"}, []string{"--jwt"}},
		{[]string{"get"}, []string{"<key>", "--json", "--url", "[$RTDB_URL]", "--token", "[$RTDB_TOKEN]", "--timeout=10s"}, []string{"--jwt", "--ttl"}},
		{[]string{"set"}, []string{"<key>", "<value>", "--text", "--if-version", "--ttl", "--url"}, []string{"--jwt"}},
		{[]string{"patch"}, []string{"<key>", "<patch>", "--if-version", "--ttl", "--url"}, []string{"--text"}},
		{[]string{"delete"}, []string{"<key>", "--pattern", "--yes", "--if-version", "--url"}, []string{"--ttl"}},
		{[]string{"list"}, []string{"<prefix>", "--pattern", "--level", "--limit", "--reverse", "--json", "--keys", "--url"}, []string{"--ttl"}},
		{[]string{"watch"}, []string{"<pattern>", "--topic", "--snapshot", "--limit", "--json", "--table", "--recent", "--url"}, []string{"--timeout"}},
		{[]string{"publish"}, []string{"<topic>", "<value>", "--text", "--url"}, []string{"--ttl"}},
		{[]string{"completion"}, []string{"<shell>"}, []string{"--url"}},
		{[]string{"export"}, []string{"--host", "--url", "--token", "[$RTDB_TOKEN]", "--prefix", "--pattern", "--to"}, []string{"--jwt", "--max"}},
		{[]string{"import"}, []string{"--host", "--url", "--token", "--from", "--if-absent", "--keep-going"}, []string{"--jwt", "--max"}},
		{[]string{"backup"}, []string{"--host", "--url", "--token", "--to", "--force"}, []string{"--jwt", "--max"}},
		{[]string{"token"}, []string{"token make", "token inspect", "--read", "--ttl", "--jwt-secret", "--jwt-private-key-file"}, []string{"--port"}},
		{[]string{"token", "make"}, []string{"--read", "--ttl", "--jwt-secret", "--jwt-private-key-file"}, []string{"--port"}},
		{[]string{"token", "inspect"}, []string{"--jwt-secret", "--jwt-public-key-file"}, []string{"--port", "--read", "--jwt-private"}},
		{[]string{"check"}, []string{"--data-dir=DIR", "[$DATA_DIR]"}, []string{"--port", "--fsync"}},
		{[]string{"repair"}, []string{"--data-dir=DIR", "--yes"}, []string{"--port", "--fsync"}},
		{[]string{"restore"}, []string{"--data-dir=DIR", "--from=FILE"}, []string{"--port", "--fsync"}},
		{[]string{"demo"}, []string{"--host", "--port", "--sensors=2000", "--devices=60", "--max-sessions", "--log-level"}, []string{"--jwt", "--data-dir", "--url"}},
		{[]string{"simulate"}, []string{"--host", "--url", "--token", "[$RTDB_TOKEN]", "--devices=1000", "--first=101", "--prefix", "--interval=1s", "--seed", "--log-level"}, []string{"--jwt", "--max"}},
		{[]string{"health"}, []string{"--host", "--port", "--tls-cert-file", "--url"}, []string{"--jwt", "--max"}},
	} {
		stdout, stderr, status := runToEnd(t, []string{"COLUMNS=80"}, append(test.args, "--help")...)
		if status != exitOK || stderr != "" {
			t.Errorf("%v: exit %d with %q", test.args, status, stderr)
		}
		rest := stdout
		for _, want := range test.want {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("the help of %v lacks %q, or has it in another order:\n%s", test.args, want, stdout)
				break
			}
			rest = after
		}
		for _, lack := range test.lack {
			if strings.Contains(stdout, lack) {
				t.Errorf("the help of %v has %q:\n%s", test.args, lack, stdout)
			}
		}
		length := 0 // of the text about one flag, in lines
		for line := range strings.Lines(stdout) {
			line = strings.TrimRight(line, "\n")
			if length++; !strings.HasPrefix(line, "                ") || strings.HasPrefix(strings.TrimSpace(line), "-") {
				length = 1
			}
			if len(line) > 80 || length > 3 {
				t.Errorf("the help of %v has a line or a text that is too long: %q", test.args, line)
			}
		}
	}
}

// The version does not depend on the server's settings.
func TestVersion(t *testing.T) {
	stdout, stderr, status := runToEnd(t, []string{"PORT=http", "JWT_SECRET=short"}, "version")
	if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "rtdb ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("version: exit %d, %q, %q", status, stdout, stderr)
	}
}
