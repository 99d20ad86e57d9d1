package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rtdb/transport/transporttest"
)

// A storedKey is a key of a listing.
type storedKey struct {
	Key       string
	Value     json.RawMessage
	Version   uint64
	ExpiresIn float64 `json:"expires_in"`
}

// stored returns all keys of a server, in the order of a listing.
func stored(p *process) (keys []storedKey) {
	p.t.Helper()
	for after := ""; ; {
		var page struct {
			Items []storedKey
			Next  string
		}
		_, text := p.call("GET", "/data?limit=1000&after="+after, "")
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			p.t.Fatal(err)
		}
		keys = append(keys, page.Items...)
		if page.Next == "" {
			return keys
		}
		after = page.Next
	}
}

// runWithInput runs rtdb with the standard input, and returns its output and its exit
// status.
func runWithInput(t *testing.T, env []string, in io.Reader, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	c := command(env, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = in, &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*patience, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// transferLines are lines that must come back letter for letter.
const transferLines = `{"key":"a","value":null}
{"key":"a/b c","value":true}
{"key":"a/é","value":"\u00e9 \ud83d\ude00 \ud800 <>&  \/"}
{"key":"a/ü/😀","value":{"z":1,"a":[{},[],""],"z":2}}
{"key":"n/1","value":22.50}
{"key":"n/2","value":12345678901234567890}
{"key":"n/3","value":1e400}
{"key":"n/4","value":-0.0}
{"key":"q\"uo\\te","value":"x"}
`

// Keys that are exported from one server and imported into another one are the same there.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	from, to := start(t, nil), start(t, nil)
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	input := "\ufeff" + strings.ReplaceAll(transferLines, "\n", "\r\n\n") + `{"key":"z","value":1,"expires_in":1000.5}` + "\n" + `{"value":[ 1 ],"key":"z/2","expires_in":1e9}`
	if out, errs, status := runWithInput(t, nil, strings.NewReader(input), "import", "--url", from.url); status != 0 || out != "" || !strings.HasPrefix(errs, "11 keys imported in ") {
		t.Fatalf("import: exit %d with %q %q", status, out, errs)
	}
	began := time.Now()
	if _, errs, status := runToEnd(t, nil, "export", "--url", from.url+"/", "--to", file); status != 0 || !strings.HasPrefix(errs, "11 keys exported in ") {
		t.Fatalf("export: exit %d with %q", status, errs)
	}
	exported, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(exported), transferLines) {
		t.Fatalf("%v, exported\n%s", err, exported)
	}
	_, before := to.call("PUT", "/data/a", `{"value":"old"}`)
	if _, errs, status := runToEnd(t, nil, "import", "--url", to.url, "--from", file); status != 0 {
		t.Fatalf("import: exit %d with %q", status, errs)
	}
	var old storedKey
	if err := json.Unmarshal([]byte(before), &old); err != nil {
		t.Fatal(err)
	}
	left, right := stored(from), stored(to)
	if len(left) != 11 || len(right) != 11 {
		t.Fatalf("%d and %d keys", len(left), len(right))
	}
	late := time.Since(began).Seconds() + 0.1 // a key lives longer by the time of its way
	for i, l := range left {
		r := right[i]
		if l.Key != r.Key || string(l.Value) != string(r.Value) || r.Version <= old.Version || math.Abs(l.ExpiresIn-r.ExpiresIn) > late {
			t.Errorf("%+v has become %+v", l, r)
		}
	}

	for args, want := range map[string]string{
		"--prefix n/ --to -": "n/1 n/2 n/3 n/4", "--pattern a/+": "a/b c a/é", "--pattern z/#": "z z/2", "--prefix none": "",
	} {
		out, errs, status := runToEnd(t, nil, append([]string{"export", "--url", from.url}, strings.Fields(args)...)...)
		var keys []string
		for line := range strings.Lines(out) {
			var k storedKey
			if err := json.Unmarshal([]byte(line), &k); err != nil {
				t.Error(err)
			}
			keys = append(keys, k.Key)
		}
		if strings.Join(keys, " ") != want || status != 0 || !strings.HasPrefix(errs, fmt.Sprintf("%d keys", len(keys))) {
			t.Errorf("%s: exit %d with %q %q, want %s", args, status, out, errs, want)
		}
	}

	// --if-absent keeps the keys that exist.
	from.call("DELETE", "/data/n/1", "")
	from.call("PUT", "/data/a", `{"value":"new"}`)
	if _, errs, status := runToEnd(t, nil, "import", "--url", from.url, "--from", file, "--if-absent"); status != 0 || !strings.HasPrefix(errs, "1 keys imported, 10 kept in ") {
		t.Errorf("--if-absent: exit %d with %q", status, errs)
	}
	if _, text := from.call("GET", "/data/a", ""); !strings.Contains(text, `"new"`) {
		t.Errorf("a is %s", text)
	}
}

// A hundred thousand keys go through a pipe from one server to another.
func TestExportAndImportOfManyKeys(t *testing.T) {
	t.Parallel()
	keys := 100_000
	if transporttest.UnderRace {
		keys = 10_000
	}
	from, to := start(t, nil), start(t, nil)
	var lines bytes.Buffer
	for i := range keys {
		fmt.Fprintf(&lines, `{"key":"k/%06d","value":{"n":%d,"text":"some text"}}`+"\n", i, i)
	}
	want := lines.String()
	if _, errs, status := runWithInput(t, nil, &lines, "import", "--url", from.url); status != 0 {
		t.Fatalf("import: exit %d with %s", status, errs)
	}
	export := command(nil, "export", "--url", from.url)
	pipe, err := export.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := export.Start(); err != nil {
		t.Fatal(err)
	}
	_, errs, status := runWithInput(t, nil, pipe, "import", "--url", to.url)
	if err := export.Wait(); err != nil || status != 0 || !strings.HasPrefix(errs, fmt.Sprintf("%d keys imported", keys)) {
		t.Fatalf("%v, import: exit %d with %s", err, status, errs)
	}
	if got, _, status := runToEnd(t, nil, "export", "--url", to.url); status != 0 || got != want {
		t.Errorf("exit %d, %d bytes are not the %d bytes that were imported", status, len(got), len(want))
	}
}

// A transfer that its token does not grant is refused, with the reason.
func TestTransfersNeedGrants(t *testing.T) {
	t.Parallel()
	env := []string{"JWT_SECRET=" + testSecret}
	p := start(t, env)
	token := func(args ...string) string {
		text, _, _ := runToEnd(t, env, append([]string{"token"}, args...)...)
		return "RTDB_TOKEN=" + strings.TrimSpace(text)
	}
	lines := "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":1}\n"
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		token, args string
		status      int
		want        string
	}{
		{"", "export", 1, "(unauthorized)"},
		{"", "import --keep-going --from " + file, 1, "(unauthorized): 0 keys imported"},
		{token("--write", "#"), "export", 1, "(forbidden): 0 keys were exported"},
		{token("--write", "a"), "import --from " + file, 1, `line 2: key "b"`},
		{token("--write", "a"), "import --keep-going --from " + file, 1, "1 lines were not imported: 1 keys imported"},
		{token("--write", "#", "--read", "#"), "import --from " + file, 0, "2 keys imported"},
		{token("--read", "a/#"), "export --pattern a/#", 0, "1 keys exported"},
		{token("--read", "a/#"), "export", 1, "(forbidden)"},
		{"RTDB_TOKEN=nonsense", "export", 1, "(unauthorized)"},
	} {
		var env []string
		if test.token != "" {
			env = []string{test.token}
		}
		_, errs, status := runToEnd(t, env, append(strings.Fields(test.args), "--url", p.url)...)
		if status != test.status || !strings.Contains(errs, test.want) || strings.Contains(errs, "nonsense") {
			t.Errorf("%s: exit %d with %q, want %d and %q", test.args, status, errs, test.status, test.want)
		}
	}
}

// An import and an export wait if they are too fast.
func TestTransfersWaitForTheRate(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "--max-request-rate", "20")
	const writes = 70 // each is a batch of its own, because the key is the same
	lines := ""
	for n := range writes {
		lines += fmt.Sprintf(`{"key":"k","value":%d}`+"\n", n)
	}
	if _, errs, status := runWithInput(t, nil, strings.NewReader(lines), "import", "--url", p.url); status != 0 || !strings.HasPrefix(errs, "70 keys imported") {
		t.Fatalf("exit %d with %s", status, errs)
	}
	out, errs, status := runToEnd(t, nil, "export", "--url", p.url)
	if out != `{"key":"k","value":69}`+"\n" || status != 0 {
		t.Errorf("exit %d with %q %q, want the last value", status, out, errs)
	}
	limited := false
	for _, e := range p.log() {
		limited = limited || e["code"] == "rate_limited"
	}
	if !limited {
		t.Error("no request was limited")
	}
}

// A reader that has enough, such as head, ends an export without a word.
func TestExportIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	lines := ""
	for n := range 5000 {
		lines += fmt.Sprintf(`{"key":"k%d","value":"%s"}`+"\n", n, strings.Repeat("x", 200))
	}
	if _, errs, status := runWithInput(t, nil, strings.NewReader(lines), "import", "--url", p.url); status != 0 {
		t.Fatal(errs)
	}
	c := command(nil, "export", "--url", p.url)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(out, make([]byte, 10))
	_ = out.Close()
	timer := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || errs.Len() > 0 {
		t.Errorf("%v with %q, want a failure without a word", err, errs.String())
	}
	if ended := exit.Sys().(syscall.WaitStatus); !(ended.Signaled() && ended.Signal() == syscall.SIGPIPE) && ended.ExitStatus() != 1 {
		t.Errorf("it ended with %v", exit)
	}
}

// A file that is not all lines is reported line by line.
func TestImportOfABadFile(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	lines := []string{
		`{"key":"a","value":1}`, `key,value`, `{"key":"a//b","value":1}`, `{"key":"b","value":"` + strings.Repeat("x", 70_000) + `"}`,
		`{"key":"c","value":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`,
		`{"key":"d","value":1,"expires_in":0}`, `{"key":"e","value":1,"at":1}`, "{\"key\":\"f\",\"value\":\"\xff\"}",
		`{"key":"\ud800","value":1}`, `{"key":"g","value":1}`,
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, status := runToEnd(t, nil, "import", "--url", p.url, "--from", file)
	if status != 1 || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "rtdb: import: line 2: it is not valid JSON at byte 1") ||
		!strings.Contains(errs, "1 keys imported") {
		t.Errorf("exit %d with %s", status, errs)
	}
	_, errs, status = runToEnd(t, nil, "import", "--url", p.url, "--from", file, "--keep-going")
	for _, want := range []string{
		"line 2: it is not valid JSON", `line 3: key "a//b": `, `line 4: key "b": `, `line 5: key "c": `, `line 6: key "d": expected an expires_in above 0`,
		`line 7: key "e": unknown member "at"`, "line 8: it is not valid UTF-8", "line 9: key ",
		"(invalid_name)", "(too_large)", "(invalid_value)", "rtdb: import: 8 lines were not imported: 2 keys imported\n",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("the errors lack %q:\n%s", want, errs)
		}
	}
	if keys := stored(p); status != 1 || len(keys) != 2 || strings.Count(errs, "\n") != 9 {
		t.Errorf("exit %d, %d keys, errors:\n%s", status, len(keys), errs)
	}
	for args, want := range map[string]string{
		"import --from /none":                            "--from: open /none: no such file",
		"import --from .":                                "cannot read the input",
		"export --to /none/x":                            "--to: open /none/x",
		"export --to .":                                  "is a directory",
		"backup --to " + file:                            "the file exists: choose another name, or use --force",
		"backup --to /dev/null --force":                  "not a regular file",
		"backup --to " + filepath.Join(t.TempDir(), "x"): "was not written",
	} {
		_, errs, status := runToEnd(t, nil, append(strings.Fields(args), "--url", p.url)...)
		if status != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d with %q, want %q", args, status, errs, want)
		}
	}
	for args, want := range map[string]string{
		"export --prefix a --pattern b": "can't be used together",
		"export --url localhost:8080":   "--url ($RTDB_URL): expected a URL like",
		"import --url ftp://x":          "--url ($RTDB_URL): expected a URL like",
		"import --port 0":               "--port ($PORT): expected the port of a server that runs",
		"backup":                        "--to",
		"backup --to -":                 "it cannot go to standard output",
	} {
		if _, errs, status := runToEnd(t, nil, strings.Fields(args)...); status != 2 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d with %q, want %q", args, status, errs, want)
		}
	}
	_, errs, status = runToEnd(t, []string{"PORT=1"}, "export")
	if status != 1 || !strings.Contains(errs, "cannot reach the server: dial tcp 127.0.0.1:1") {
		t.Errorf("without a server: exit %d with %s", status, errs)
	}
}

// An export that fails makes no file of that name, and names the file with its part.
func TestExportThatFails(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "" {
			http.Error(w, `{"error":{"code":"unauthorized","message":"the token has expired"}}`, http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"items":[{"key":"a","value":1}],"next":"a"}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, status := runToEnd(t, nil, "export", "--url", server.URL, "--to", file)
	if status != 1 || !strings.Contains(errs, "the token has expired (unauthorized): the keys exported so far are in "+file+".") || !strings.Contains(errs, "1 keys were exported") {
		t.Errorf("exit %d with %s", status, errs)
	}
	if text, _ := os.ReadFile(file); string(text) != "old" {
		t.Errorf("the file has %q", text)
	}
	parts, _ := filepath.Glob(file + ".*.partial")
	if len(parts) != 1 {
		t.Fatalf("the parts are %q", parts)
	}
	if text, _ := os.ReadFile(parts[0]); string(text) != `{"key":"a","value":1}`+"\n" {
		t.Errorf("the part has %q", text)
	}
}

// A signal ends an export and an import, and they report the keys that were done.
func TestTransfersAreInterrupted(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 2)
	p := start(t, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "" {
			fmt.Fprint(w, `{"items":[{"key":"a","value":1}],"next":"a"}`)
			return
		}
		reached <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	interrupt := func(c *exec.Cmd, errs *bytes.Buffer, want ...string) {
		t.Helper()
		timer := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
		defer timer.Stop()
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait()
		if status := c.ProcessState.ExitCode(); status != 1 || !slices.Contains(want, errs.String()) {
			t.Errorf("exit %d with %q, want one of %q", status, errs, want)
		}
	}

	c := command(nil, "export", "--url", server.URL)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	interrupt(c, &errs, "rtdb: export: interrupted: 1 keys were exported\n")
	if out.String() != `{"key":"a","value":1}`+"\n" {
		t.Errorf("exported %q", out.String())
	}

	// The import waits for input when the signal comes. Two lines of one key are two
	// batches, so the first one is written before the input ends.
	c = command(nil, "import", "--url", p.url)
	errs.Reset()
	c.Stderr = &errs
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, strings.Repeat(`{"key":"a","value":1}`+"\n", 2)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); len(stored(p)) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is imported")
		}
	}
	// The server has the key; whether the import has read that answer is a race.
	interrupt(c, &errs, "rtdb: import: interrupted: 1 keys imported\n", "rtdb: import: interrupted: 0 keys imported\n")
	_ = in.Close()
}

// rtdb backup writes the archive of the server, and reports its length.
func TestBackupCommand(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	const text = "some data"
	writeTarFile(t, w, "data", text)
	writeTarFile(t, w, "SHA256SUMS", fmt.Sprintf("%x  data\n", sha256.Sum256([]byte(text))))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var cut atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("the header is %v", r.Header)
		}
		if cut.Load() {
			_, _ = w.Write(archive.Bytes()[:1500])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(archive.Bytes())
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "rtdb.tar")
	args := []string{"backup", "--url", server.URL, "--token", "t", "--to", file}
	_, errs, status := runToEnd(t, nil, args...)
	if want := fmt.Sprintf("%d bytes in 1 files received and checked in ", archive.Len()); status != 0 || !strings.HasPrefix(errs, want) {
		t.Errorf("exit %d with %q, want %q", status, errs, want)
	}
	if written, err := os.ReadFile(file); err != nil || !bytes.Equal(written, archive.Bytes()) {
		t.Errorf("the file differs: %v", err)
	}
	cut.Store(true)
	_, errs, status = runToEnd(t, nil, append(args, "--force")...)
	if status != 1 || !strings.Contains(errs, "is cut off after 1500 bytes: make it again") {
		t.Errorf("a cut backup: exit %d with %q", status, errs)
	}

	// A server without --data-dir, or with another admin address.
	p := start(t, nil)
	_, errs, status = runToEnd(t, nil, "backup", "--url", p.url, "--to", file+"2")
	if status != 1 || !strings.Contains(errs, "(not_found): --url must be the operator's address") {
		t.Errorf("exit %d with %q", status, errs)
	}
}

func writeTarFile(t *testing.T, w *tar.Writer, name, text string) {
	t.Helper()
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}
