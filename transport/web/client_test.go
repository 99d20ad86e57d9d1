package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// tail returns the part of a long text that tells of a failure: from the first test of Node.js
// that has failed on, or the end.
func tail(text []byte) []byte {
	const length = 6 << 10
	if i := bytes.Index(text, []byte("not ok ")); i >= 0 {
		return text[i:min(len(text), i+length)]
	}
	return text[max(0, len(text)-length):]
}

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
	run(t, ".", nil, "node", append([]string{"--test", "--test-timeout=100000"}, files...)...)
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

// The package that npm makes has the files that a user needs, and no others. A program that
// has installed it can import it.
func TestClientPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := run(t, ".", nil, "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", dir)
	var packed []struct {
		Name     string
		Filename string
		Files    []struct{ Path string }
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
	run(t, dir, nil, "npm", "install", "--offline", "--no-audit", "--no-fund", "--omit=peer", "./"+packed[0].Filename)
	const program = `import { connect, RTDBError, Unauthorized } from "rtdb";
		if (!(new Unauthorized() instanceof RTDBError)) throw Error("Unauthorized");
		await connect("http://localhost:1", { WebSocket: null }).close();`
	run(t, dir, nil, "node", "--input-type=module", "--eval", program)
}

// The manual's examples are valid JavaScript.
func TestClientManual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 8 {
		t.Fatalf("only %d examples", len(blocks))
	}
	dir := t.TempDir()
	var all []string
	for i, block := range blocks {
		name := filepath.Join(dir, "example"+strconv.Itoa(i)+".mjs")
		if err := os.WriteFile(name, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	for _, name := range all {
		run(t, dir, nil, "node", "--check", name)
	}
}

// The types fit a program that uses every call.
func TestClientTypes(t *testing.T) {
	t.Parallel()
	needPackages(t)
	run(t, ".", nil, "node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext",
		"--moduleResolution", "nodenext", "--lib", "es2022,dom,dom.iterable", "testdata/usage.mts")
}
