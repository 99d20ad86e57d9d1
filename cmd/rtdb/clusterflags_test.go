package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"
)

// newSeed returns the NKey seed of a user, and its public key.
func newSeed(t *testing.T) (seed, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return string(text), public
}

// writeFile writes a file into a new directory, and returns its path.
func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A wrong setting of a node is one line, which shows no password and no seed.
func TestWrongSettingsOfANode(t *testing.T) {
	t.Parallel()
	seed, _ := newSeed(t)
	seedFile, notASeed := writeFile(t, "seed", seed), writeFile(t, "broken", seed[:len(seed)-2])
	const server = "nats://localhost:4222"
	for _, test := range []struct {
		args string
		want string // in the line
	}{
		{"--nats-url " + server + " --data-dir d", "--nats-url ($NATS_URL) and --data-dir ($DATA_DIR) exclude each other"},
		{"--nats-url http://localhost", `--nats-url ($NATS_URL): expected URLs like nats://host:4222`},
		{"--nats-url nats://", "--nats-url"},
		{"--nats-url ,", "it names no server"},
		{"--nats-url " + server + "/path", `but got "nats://localhost:4222/path"`},
		{"--nats-url localhost:x", `but got "localhost:x"`},
		{"--nats-url localhost:70000", `but got "localhost:70000"`},
		{"--nats-url a:4222,b:4222,c:0", `but got "c:0"`},
		{"--nats-url nats://me:SECRET%@localhost:4222", "for server 1, which is not shown"},
		{"--nats-url nats://me:SECRET/@localhost:4222", "for server 1, which is not shown"},
		{"--nats-url nats://me:a,SECRET@localhost:4222", "for server 1, which is not shown"},
		{"--nats-url " + server + " --nats-stream a.b", `--nats-stream ($NATS_STREAM): expected letters, digits, - and _ but got "a.b"`},
		{"--nats-url " + server + " --nats-replicas 2", "--nats-replicas ($NATS_REPLICAS): expected 0, 1, 3 or 5 but got 2"},
		{"--nats-url " + server + " --node " + strings.Repeat("x", 65), "--node ($NODE_NAME): expected at most 64 bytes but got 65"},
		{"--nats-url " + server + " --node a\x1b", `--node ($NODE_NAME): expected characters that can be printed but got "a\x1b"`},
		{"--nats-url " + server + " --nats-creds /none", "--nats-creds ($NATS_CREDS): open /none"},
		{"--nats-url " + server + " --nats-creds " + seedFile, "it has no JWT: make the file by nsc generate creds"},
		{"--nats-url " + server + " --nats-seed /none", "--nats-seed ($NATS_SEED): open /none"},
		{"--nats-url " + server + " --nats-seed main.go", "--nats-seed ($NATS_SEED): main.go: it has no NKey seed"},
		{"--nats-url " + server + " --nats-seed " + notASeed, "it has no NKey seed"},
		{"--nats-url " + server + " --nats-seed " + seedFile + " --nats-creds " + seedFile, "--nats-creds ($NATS_CREDS) and --nats-seed ($NATS_SEED) exclude each other"},
		{"--nats-url " + server + " --nats-tls-ca main.go", "--nats-tls-ca ($NATS_TLS_CA): main.go: it has no certificate"},
		{"--nats-url " + server + " --nats-tls-cert main.go", "--nats-tls-cert ($NATS_TLS_CERT) and --nats-tls-key ($NATS_TLS_KEY) go together"},
		{"--nats-url " + server + " --nats-tls-cert main.go --nats-tls-key main.go", "--nats-tls-cert ($NATS_TLS_CERT), --nats-tls-key ($NATS_TLS_KEY): "},
	} {
		_, errs, status := runToEnd(t, nil, strings.Fields(test.args)...)
		if status != exitBadUsage || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit status %d with %q, want 2 with %q", test.args, status, errs, test.want)
		}
		if strings.Contains(errs, "SECRET") || strings.Contains(errs, seed[:20]) {
			t.Errorf("%s: a secret in %q", test.args, errs)
		}
	}
}

func TestServersWithoutUsers(t *testing.T) {
	for list, want := range map[string]string{
		"nats://a:4222":                               "nats://a:4222",
		"a, b:1 ,[::1]:4222":                          "nats://a nats://b:1 nats://[::1]:4222",
		"tls://u:p@a:4222,nats://token@b:4222":        "tls://a:4222 nats://b:4222",
		"wss://u:%40%2F%2C@a.example.com:443,ws://b/": "wss://a.example.com:443 ws://b/",
	} {
		if got, err := natsServers(list); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v, want %s", list, got, err, want)
		}
	}
}

// Settings that have no effect are an event of the log.
func TestUnusedSettingsOfANode(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"NODE_NAME=a", "NATS_STREAM=s"}, "--nats-replicas", "3", "--fsync", "1s")
	e := p.await("the state is not in NATS: these settings need --nats-url", 1)[0]
	var settings []string
	for _, s := range e["settings"].([]any) {
		settings = append(settings, s.(string))
	}
	if want := []string{"--nats-replicas", "$NATS_STREAM", "$NODE_NAME"}; !slices.Equal(settings, want) {
		t.Errorf("the settings are %q, want %q", settings, want)
	}
	p.await("the state is in memory: these settings need --data-dir", 1)
	if e["node"] != nil {
		t.Errorf("a server alone has the node %v", e["node"])
	}
	p.stop()

	p = start(t, []string{"NATS_URL=nats://127.0.0.1:1", "NODE_NAME=a"}, "--fsync", "1s")
	p.await("the state is in NATS: these settings need --data-dir", 1)
	p.stop()
}

// Events that may come a thousand times a second do not flood the log, and each of them is
// counted.
func TestTheLogOfAClusterIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &countingWriter{}
		log := clusterLog{Logger: zerolog.New(lines)}
		for range 60_000 { // for a minute
			log.foreign("rtdb.k.x", 7)
			log.filled(3, time.Millisecond)
			log.lost(os.ErrDeadlineExceeded)
			log.connected("s", "2.15.0")
			time.Sleep(time.Millisecond)
		}
		if lines.n > 2*7+2*(connectionBurst+7) {
			t.Errorf("%d lines were logged within a minute", lines.n)
		}
		time.Sleep(sparseInterval)
		log.foreign("rtdb.k.x", 8)
		if want := `"sequence":8,"skipped":9999,`; !strings.Contains(lines.last, want) {
			t.Errorf("the last line is %s, want %s", lines.last, want)
		}
	})
}

// A countingWriter counts the lines that are written to it.
type countingWriter struct {
	n    int
	last string
}

func (w *countingWriter) Write(line []byte) (int, error) {
	w.n++
	w.last = string(line)
	return len(line), nil
}
