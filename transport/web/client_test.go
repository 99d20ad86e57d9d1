package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/transport/transporttest"
)

// patience is how long a run of a tool may take.
const patience = 2 * time.Minute

// run runs a tool in a folder, and returns what it printed. Without the tool the test is
// skipped, see transporttest.NeedTool.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	transporttest.NeedTool(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(out))
	}
	return string(out)
}

// tail returns the end of a long text.
func tail(text []byte) []byte { return text[max(0, len(text)-6<<10):] }

var installing sync.Mutex

// needPackages installs the packages that the client's tests use. Without npm or the
// registry the test is skipped, and fails in CI.
func needPackages(t *testing.T) {
	t.Helper()
	transporttest.NeedTool(t, "npm")
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat("node_modules/typescript"); err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll("node_modules")
		if os.Getenv("CI") != "" {
			t.Fatalf("npm ci: %v\n%s", err, tail(out))
		}
		t.Skipf("npm ci: %v", err)
	}
}

// The rules of the client, each a test against a server that breaks the rules.
func TestClientRules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	run(t, ".", nil, "node", append([]string{"--test", "--test-timeout=60000"}, files...)...)
}

// The module is small as it stands, with its comments.
func TestClientIsSmall(t *testing.T) {
	source, err := os.ReadFile("rtdb.js")
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = w.Write(source)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const limit = 8 << 10
	if zipped.Len() > limit {
		t.Errorf("rtdb.js has %d bytes when compressed, want at most %d", zipped.Len(), limit)
	}
	if bytes.Contains(source, []byte("import ")) {
		t.Error("rtdb.js imports something")
	}
}

// What npm packs is what a user needs, and nothing else.
func TestClientPackage(t *testing.T) {
	t.Parallel()
	out := run(t, ".", nil, "npm", "pack", "--dry-run", "--json", "--ignore-scripts")
	var packed []struct {
		Name  string
		Files []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(out), &packed); err != nil || len(packed) != 1 {
		t.Fatalf("npm pack: %v\n%s", err, out)
	}
	var got []string
	for _, f := range packed[0].Files {
		got = append(got, f.Path)
	}
	slices.Sort(got)
	if want := []string{"README.md", "package.json", "rtdb.d.ts", "rtdb.js"}; packed[0].Name != "rtdb" || !slices.Equal(got, want) {
		t.Errorf("%s has %q, want rtdb with %q", packed[0].Name, got, want)
	}
}

// The types fit a program that uses every call.
func TestClientTypes(t *testing.T) {
	t.Parallel()
	needPackages(t)
	run(t, ".", nil, "node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext",
		"--moduleResolution", "nodenext", "--lib", "es2022,dom,dom.iterable", "testdata/usage.mts")
}
