package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A slowFile is a named pipe in place of a file of a store. So a test decides how fast the
// store is loaded.
type slowFile struct {
	t    *testing.T
	path string
	text []byte // that was not read yet
	pipe *os.File
}

// slowStore makes a store with n keys in one file, and makes the file slow.
func slowStore(t *testing.T, n int) (dir string, f *slowFile) {
	t.Helper()
	dir = t.TempDir()
	p := startKept(t, dir, "--fsync", "never")
	const most = 1000 // items of a batch
	for i := 0; i < n; i += most {
		var items []string
		for k := i; k < min(n, i+most); k++ {
			items = append(items, fmt.Sprintf(`{"key":"k/%d","value":%d}`, k, k))
		}
		p.write("POST", "/data", `{"items":[`+strings.Join(items, ",")+`]}`, 200)
	}
	p.stop()
	startKept(t, dir).stop() // a start reads the end of the two newest files twice
	f = &slowFile{t: t, path: filepath.Join(dir, "0000000001.log")}
	var err error
	if f.text, err = os.ReadFile(f.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.path, f.path+"-whole"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, f
}

// feed lets the server read a part of the file: the first of so many that are left.
func (f *slowFile) feed(parts int) {
	f.t.Helper()
	if f.pipe == nil {
		var err error
		if f.pipe, err = os.OpenFile(f.path, os.O_WRONLY, 0); err != nil { // waits for the server
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { _ = f.pipe.Close() })
	}
	n := len(f.text) / parts
	_, err := f.pipe.Write(f.text[:n])
	if err != nil && !errors.Is(err, syscall.EPIPE) { // the server has given up
		f.t.Fatal(err)
	}
	f.text = f.text[n:]
	if parts == 1 {
		_ = f.pipe.Close()
	}
}

// feedUntilClosed lets the server read byte for byte, until the server closes the file.
func (f *slowFile) feedUntilClosed() {
	f.t.Helper()
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for ; len(f.text) > 0; f.text = f.text[1:] {
		<-pause.C
		switch _, err := f.pipe.Write(f.text[:1]); {
		case errors.Is(err, syscall.EPIPE):
			return
		case err != nil:
			f.t.Fatal(err)
		}
	}
	f.t.Fatal("the server has read the whole file")
}

// restore puts the file back.
func (f *slowFile) restore() {
	f.t.Helper()
	if err := os.Rename(f.path+"-whole", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// While the state is loaded the server is alive, and not ready.
func TestAServerThatLoads(t *testing.T) {
	t.Parallel()
	dir, file := slowStore(t, 100)
	p := start(t, nil, "--data-dir", dir)
	file.feed(2)
	p.write("GET", "/healthz", "", 200)
	if got := p.write("GET", "/readyz", "", 503); !strings.Contains(got, `"status":"loading"`) {
		t.Errorf("/readyz: %s", got)
	}
	p.write("GET", "/data/k/1", "", 503)
	p.write("PUT", "/data/k/1", `{"value":"lost?"}`, 503)
	p.write("GET", "/metrics", "", 200)
	response, err := http.Get(p.url + "/data/k/1")
	if err != nil || response.Header.Get("Retry-After") == "" {
		t.Errorf("%v, %v", response, err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	file.feed(1)
	p.await("state loaded", 1)
	p.write("GET", "/readyz", "", 200)
	if got := p.write("GET", "/data/k/1", "", 200); !strings.Contains(got, `"value":1,`) {
		t.Errorf("k/1: %s", got)
	}
	p.stop()
}

// A signal ends a server that loads, and does not harm the store.
func TestASignalWhileTheServerLoads(t *testing.T) {
	t.Parallel()
	dir, file := slowStore(t, 100)
	p := start(t, nil, "--data-dir", dir)
	file.feed(2)
	p.signal(syscall.SIGTERM)
	p.await("server draining", 1)
	file.feedUntilClosed() // because the load ends a moment after the event
	if err := p.wait(); err != nil {
		t.Errorf("%v, want exit status 0", err)
	}
	if p.logged("state loaded") || p.logged("state not loaded") {
		t.Error("loading was not broken off, or is logged as an error")
	}
	file.restore()
	p = startKept(t, dir)
	if e := p.await("state loaded", 1)[0]; e["keys"] != 100.0 || e["records"] != 100.0 {
		t.Errorf("logged %v", e)
	}
	p.stop()
}

// On a terminal, a line shows the progress, until the log has the result in its place.
func TestLoadingOnATerminal(t *testing.T) {
	t.Parallel()
	dir, file := slowStore(t, 60_000)
	terminal, console := openTerminal(t)
	lines := linesOf(terminal)
	c := command([]string{"NO_COLOR=1"}, "--port", "0", "--data-dir", dir)
	c.Stderr = console
	controlledBy(console)(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	const parts = 30
	pace := time.NewTicker(50 * time.Millisecond) // a disk that needs 1.5 s
	defer pace.Stop()
	for left := parts; left > 0; left-- {
		<-pace.C
		file.feed(left)
	}
	text := readTerminal(t, lines, "The state is kept in")
	_, after, found := strings.Cut(text, "loading the state: ")
	if !found || !strings.Contains(after, " writes read, ") {
		t.Errorf("the terminal shows no progress:\n%q", text)
	}
	result := text[strings.LastIndex(text, "\r")+1:]
	if !strings.Contains(result, "state loaded") || !strings.Contains(result, "rtdb is ready at") || !strings.Contains(result, "The state is kept in "+dir+".\n") {
		t.Errorf("after the progress the terminal shows\n%q", result)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	readTerminal(t, lines, "server stopped")
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// limited makes the system refuse to make files longer than some blocks of 512 bytes.
func limited(blocks int) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -f %d; exec "$0" "$@"`, blocks), c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
	}
}

// A server whose store cannot write ends with a status of its own, and has lost nothing.
func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startWith(t, limited(128), "--data-dir", dir)
	p.await("state loaded", 1)
	_, gone := stubborn(t, p)
	value := `{"value":"` + strings.Repeat("x", 5000) + `"}`
	accepted := 0
	for ; accepted < 100; accepted++ {
		status, answer := p.call("PUT", fmt.Sprint("/data/k/", accepted), value)
		if status == 200 {
			continue
		}
		if status != 503 || !strings.Contains(answer, "unavailable") {
			t.Errorf("the write that failed: %d %s", status, answer)
		}
		break
	}
	if accepted == 0 || accepted == 100 {
		t.Errorf("%d writes were accepted", accepted)
	}
	p.write("PUT", "/data/further", `{"value":1}`, 503)
	if code := <-gone; code != 1012 {
		t.Errorf("the session was closed with %d, want 1012", code)
	}
	began := time.Now()
	_ = p.wait()
	if status := p.cmd.ProcessState.ExitCode(); status != exitStoreFailed || time.Since(began) > 10*time.Second {
		t.Errorf("exit %d after %v, want %d", status, time.Since(began), exitStoreFailed)
	}
	if e := p.await("store failed", 1); len(e) != 1 || !strings.Contains(e[0]["error"].(string), "file too large") {
		t.Errorf("logged %v", e)
	}
	if p.logged("store closed") {
		t.Error("the store that failed was closed")
	}
	p = startKept(t, dir)
	for i := range accepted {
		p.write("GET", fmt.Sprint("/data/k/", i), "", 200)
	}
	p.write("GET", "/data/further", "", 404)
	p.stop()
}

// A store that cannot begin to write is not loaded.
func TestAStoreThatCannotWriteAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startKept(t, dir)
	p.write("PUT", "/data/k", `{"value":1}`, 200)
	p.kill()
	p = startWith(t, limited(0), "--data-dir", dir)
	_ = p.wait()
	if status := p.cmd.ProcessState.ExitCode(); status != exitFailure {
		t.Errorf("exit %d, want %d", status, exitFailure)
	}
	p.await("state not loaded", 1)
	p = startKept(t, dir)
	p.write("GET", "/data/k", "", 200)
	p.stop()
}

// mount mounts a small file system in memory.
func mount(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("it needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Below the reserve values are refused, and nothing else is, until there is room.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	disk := mount(t, "size=64m")
	dir := filepath.Join(disk, "rtdb")
	// Another program takes a part of the disk. The store may have 12 MiB of the rest.
	other := filepath.Join(disk, "other")
	if err := os.WriteFile(other, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startKept(t, dir, "--disk-reserve", "32MiB", "--max-value-bytes", "1048576")
	value := `{"value":"` + strings.Repeat("x", 250_000) + `"}`
	kept := 0
	fill := func() {
		t.Helper()
		for ; kept < 1000; kept++ {
			status, answer := p.call("PUT", fmt.Sprint("/data/k/", kept), value)
			if status == 200 {
				continue
			}
			if status != 503 || !strings.Contains(answer, "insufficient storage") {
				t.Fatalf("after %d values: %d %s", kept, status, answer)
			}
			return
		}
		t.Fatal("nothing is refused")
	}
	const low, room = "storage low: values are refused", "storage has room: values are accepted"

	fill()
	e := p.await(low, 1)[0]
	if free := e["free_bytes"].(float64); free >= 32<<20 || free < 20<<20 || e["disk_reserve_bytes"] != float64(32<<20) {
		t.Errorf("logged %v", e)
	}
	if got := p.write("GET", "/readyz", "", 503); !strings.Contains(got, "insufficient storage") {
		t.Errorf("/readyz: %s", got)
	}
	if got := p.write("GET", "/metrics", "", 200); !strings.Contains(got, "\nrtdb_store_refusing 1\n") {
		t.Error("rtdb_store_refusing is not 1")
	}
	p.write("GET", "/healthz", "", 200)
	p.write("GET", "/data/k/1", "", 200)
	for kept--; kept > 5; kept-- { // deletes go on, and make room
		p.write("DELETE", fmt.Sprint("/data/k/", kept), "", 204)
	}
	kept++
	p.await(room, 1)
	p.write("GET", "/readyz", "", 200)

	fill()
	p.await(low, 2)
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	p.await(room, 2)
	p.write("PUT", "/data/last", value, 200)
	p.kill()
	p = startKept(t, dir, "--disk-reserve", "0", "--max-value-bytes", "1048576")
	for i := range kept {
		p.write("GET", fmt.Sprint("/data/k/", i), "", 200)
	}
	p.write("GET", fmt.Sprint("/data/k/", kept), "", 404)
	p.write("GET", "/data/last", "", 200)
	p.stop()
}

func TestADiskThatIsReadOnly(t *testing.T) {
	t.Parallel()
	dir := mount(t, "ro")
	refused(t, filepath.Join(dir, "rtdb"), dir, "mount the disk of")
}
