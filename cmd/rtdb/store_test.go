package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// startKept starts a server that keeps its state in a directory, and waits until the state
// is loaded.
func startKept(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	p := start(t, nil, append([]string{"--data-dir", dir}, args...)...)
	p.await("state loaded", 1)
	return p
}

// write makes a request and wants the status.
func (p *process) write(method, path, body string, want int) (answer string) {
	p.t.Helper()
	status, answer := p.call(method, path, body)
	if status != want {
		p.t.Fatalf("%s %s: %d %s, want %d", method, path, status, answer, want)
	}
	return answer
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.t.Helper()
	p.signal(os.Kill)
	_ = p.wait()
}

// A follower is a client that resumes.
type follower struct {
	Revision uint64
	Epoch    string
}

// follow subscribes to all keys, and returns the updates that come before the reply.
func (f *follower) follow(t *testing.T, p *process, request string) (c *websocket.Conn, updates []string) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"rtdb.v1"}}
	c, _, err := dialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if err := c.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
		t.Fatal(err)
	}
	for {
		var reply struct {
			OK    bool
			Reset bool
			*follower
		}
		reply.follower = f
		text := receive(t, c)
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatal(err)
		}
		switch {
		case !reply.OK:
			updates = append(updates, text)
		case reply.Reset:
			t.Fatalf("the client was reset: %s", text)
		default:
			return c, updates
		}
	}
}

func (f *follower) resume(t *testing.T, p *process) (c *websocket.Conn, updates []string) {
	t.Helper()
	return f.follow(t, p, fmt.Sprintf(`{"action":"subscribe","pattern":"#","since":%d,"epoch":%q,"id":1}`, f.Revision, f.Epoch))
}

func receive(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, text, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// brief returns an update without the moment of the write.
func brief(update string) string {
	var u struct {
		Key     string
		Value   json.RawMessage
		Deleted bool
	}
	_ = json.Unmarshal([]byte(update), &u)
	return fmt.Sprintf("%s=%s %v", u.Key, u.Value, u.Deleted)
}

func versionOf(t testing.TB, text string) uint64 {
	t.Helper()
	var answer struct{ Version uint64 }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Version == 0 {
		t.Fatalf("%s: %v", text, err)
	}
	return answer.Version
}

// A server that was stopped or killed goes on with the same state, and so do its clients.
func TestARestartKeepsTheState(t *testing.T) {
	for name, args := range map[string][]string{"always": nil, "interval": {"--fsync", "10ms"}, "never": {"--fsync", "never"}} {
		for end, stop := range map[string]func(*process){"stopped": (*process).stop, "killed": (*process).kill} {
			t.Run(name+", "+end, func(t *testing.T) {
				t.Parallel()
				testRestart(t, stop, args)
			})
		}
	}
}

func testRestart(t *testing.T, stop func(*process), args []string) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	p := startKept(t, dir, args...)
	for i := range 20 {
		p.write("PUT", fmt.Sprint("/data/k/", i), fmt.Sprintf(`{"value":{"n":%d.50}}`, i), 200)
	}
	p.write("PUT", "/data/long", `{"value":1,"ttl":3600}`, 200)
	due := time.Now().Add(1500 * time.Millisecond)
	p.write("PUT", "/data/short", `{"value":1,"ttl":1.5}`, 200)

	var client follower
	c, _ := client.follow(t, p, `{"action":"subscribe","pattern":"#","snapshot":true,"id":1}`)
	_ = c.Close()
	p.write("PUT", "/data/k/3", `{"value":"new"}`, 200)
	p.write("DELETE", "/data/k/4", "", 204)
	before := p.write("GET", "/data?prefix=k/", "", 200)
	last := versionOf(t, p.write("PUT", "/data/k/5", `{"value":"newest"}`, 200))
	stop(p)
	<-time.After(time.Until(due))

	p = startKept(t, dir, args...)
	epoch := p.await("state loaded", 1)[0]["epoch"]
	if epoch != client.Epoch {
		t.Errorf("epoch %v, want %s", epoch, client.Epoch)
	}
	after := p.write("GET", "/data?prefix=k/", "", 200)
	if changed := strings.Replace(before, `{"n":5.50}`, `"newest"`, 1); stripped(after) != stripped(changed) {
		t.Errorf("the keys are\n%s\nwant\n%s", after, changed)
	}
	if got := p.write("GET", "/data/long", "", 200); !strings.Contains(got, `"expires_in":3`) {
		t.Errorf("the key with a time to live: %s", got)
	}

	revision := client.Revision
	c, updates := client.resume(t, p)
	var missed []string
	var gone string
	for _, u := range updates {
		if strings.Contains(u, `"short"`) {
			gone = u
		} else {
			missed = append(missed, brief(u))
		}
		if v := versionOf(t, u); v <= revision {
			t.Errorf("the client has had %s", u)
		}
	}
	want := map[string]bool{`k/3="new" false`: true, "k/4=null true": true, `k/5="newest" false`: true}
	for _, u := range missed {
		if !want[u] {
			t.Errorf("the client gets %s, which it has not missed, or twice", u)
		}
		delete(want, u)
	}
	if len(want) > 0 {
		t.Errorf("the client does not get %v", want)
	}
	if gone == "" {
		gone = receive(t, c)
	}
	if brief(gone) != "short=null true" || versionOf(t, gone) <= last {
		t.Errorf("of the key that expired the client gets %s", gone)
	}
	if v := versionOf(t, p.write("PUT", "/data/k/6", `{"value":1}`, 200)); v <= last {
		t.Errorf("version %d after %d", v, last)
	}
	if !strings.Contains(receive(t, c), `"k/6"`) {
		t.Error("the next write does not follow")
	}
	p.stop()
	if e := p.await("store closed", 1)[0]; e["writes"].(float64) < 1 || e["bytes"].(float64) < 100 {
		t.Errorf("logged %v", e)
	}
}

// stripped returns a listing without the key whose version is not known.
func stripped(listing string) string {
	var l struct{ Items []map[string]any }
	_ = json.Unmarshal([]byte(listing), &l)
	for _, item := range l.Items {
		if item["key"] == "k/5" {
			delete(item, "version")
			delete(item, "at")
		}
	}
	return fmt.Sprint(l.Items)
}

// refused wants that a server on a directory ends at once, with status 1 and one plain line
// that has each of the texts.
func refused(t *testing.T, dir string, want ...string) {
	t.Helper()
	_, stderr, status := runToEnd(t, nil, "--port", "0", "--data-dir", dir)
	if status != exitFailure || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "rtdb: --data-dir ($DATA_DIR): ") {
		t.Errorf("exit %d with %q", status, stderr)
	}
	for _, text := range want {
		if !strings.Contains(stderr, text) {
			t.Errorf("the error lacks %q: %s", text, stderr)
		}
	}
}

func TestADirectoryThatIsRefused(t *testing.T) {
	t.Parallel()
	kept := func(t *testing.T) (dir, segment string) {
		dir = t.TempDir()
		p := startKept(t, dir)
		p.write("PUT", "/data/k", `{"value":1}`, 200)
		p.stop()
		return dir, filepath.Join(dir, "0000000001.log")
	}
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		p := startKept(t, dir)
		refused(t, dir, fmt.Sprintf("process %d uses the directory %s: end it", p.cmd.Process.Pid, dir))
		p.write("PUT", "/data/k", `{"value":1}`, 200)
		p.stop()
	})
	t.Run("foreign", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "holiday.jpg"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, dir, "holiday.jpg", "choose an empty directory")
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("the directory has %v, %v", files, err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		refused(t, filepath.Join(operatorManual, "d"), operatorManual)
	})
	t.Run("no permission", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, dir, "permission denied", "chown")
	})
	t.Run("a file is missing", func(t *testing.T) {
		dir, segment := kept(t)
		if err := os.Remove(segment); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, "the file is missing", "rtdb check --data-dir "+dir, "rtdb repair --data-dir "+dir)
	})
	t.Run("newer format", func(t *testing.T) {
		dir, segment := kept(t)
		alter(t, segment, func(b []byte) {
			const header = 92 // it ends with its checksum
			b[8] = 2          // the format, after the magic
			sum := crc32.Checksum(b[:header-4], crc32.MakeTable(crc32.Castagnoli))
			binary.LittleEndian.PutUint32(b[header-4:], sum)
		})
		p := failsToLoad(t, dir)
		if e := p.await("state not loaded", 1)[0]; !strings.Contains(e["error"].(string), segment+" has format 2") {
			t.Errorf("logged %v", e)
		}
	})
	t.Run("damage", func(t *testing.T) {
		dir := t.TempDir()
		p := startKept(t, dir)
		for i := range 20 { // each is a group
			p.write("PUT", fmt.Sprint("/data/k/", i), `{"value":"0123456789"}`, 200)
		}
		p.stop()
		segment := filepath.Join(dir, "0000000001.log")
		var at int
		alter(t, segment, func(b []byte) { at = len(b) / 2; b[at] ^= 1 })
		damaged, _ := os.ReadFile(segment)
		p = failsToLoad(t, dir)
		e := p.await("state not loaded", 1)[0]
		if offset, _ := e["offset"].(float64); e["file"] != segment || int(offset) > at || int(offset) < at-100 {
			t.Errorf("damage at %d of %s is logged as %v", at, segment, e)
		}
		if text := e["error"].(string); !strings.Contains(text, segment) || !strings.Contains(text, "rtdb check --data-dir "+dir) {
			t.Errorf("the error is %q", text)
		}
		if now, _ := os.ReadFile(segment); string(now) != string(damaged) {
			t.Error("the damaged file has changed")
		}
	})
}

// alter changes the bytes of a file.
func alter(t *testing.T, file string, change func([]byte)) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// failsToLoad starts a server that cannot load its state, and wants exit status 1.
func failsToLoad(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := start(t, nil, append([]string{"--data-dir", dir}, args...)...)
	_ = p.wait()
	if status := p.cmd.ProcessState.ExitCode(); status != exitFailure {
		t.Errorf("exit %d, want %d", status, exitFailure)
	}
	if n := len(p.await("state not loaded", 1)); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	p.await("server stopped", 1)
	return p
}

// A missing identity is not damage, but every client is reset.
func TestAMissingIdentityIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startKept(t, dir)
	p.write("PUT", "/data/k", `{"value":1}`, 200)
	epoch := p.await("state loaded", 1)[0]["epoch"]
	p.stop()
	identity := filepath.Join(dir, "rtdb.json")
	if err := os.Remove(identity); err != nil {
		t.Fatal(err)
	}
	p = startKept(t, dir)
	if e := p.await("store identity missing: clients load everything again", 1)[0]; e["file"] != identity {
		t.Errorf("logged %v", e)
	}
	if now := p.await("state loaded", 1)[0]["epoch"]; now == epoch {
		t.Errorf("the epoch is still %v", now)
	}
	p.write("GET", "/data/k", "", 200)
	p.stop()
}

// A half-written end, left by a killed process, is cut off and reported.
func TestATornEndIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startKept(t, dir)
	p.write("PUT", "/data/k", `{"value":1}`, 200)
	p.kill()
	segment := filepath.Join(dir, "0000000001.log")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	whole := len(bytes.TrimRight(b, "\x00")) // about: the file may end in zeros
	torn := append(slices.Concat(b[:whole], make([]byte, 40)), "half a frame"...)
	if err := os.WriteFile(segment, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	p = startKept(t, dir)
	e := p.await("store end cut off", 1)[0]
	offset, length := int(e["offset"].(float64)), int(e["bytes"].(float64))
	if e["file"] != segment || offset < whole || offset >= whole+40 || offset+length != len(torn) {
		t.Errorf("a file that is whole up to %d of %d is logged as %v", whole, len(torn), e)
	}
	p.write("GET", "/data/k", "", 200)
	p.stop()
}

// Settings of the store that have no effect are not an error, but are logged.
func TestSettingsOfAStoreWithoutADirectory(t *testing.T) {
	t.Parallel()
	const warning = "the state is in memory: these settings need --data-dir"
	p := start(t, []string{"DISK_RESERVE=1GB", "FSYNC="}, "--fsync", "always")
	if e := p.await(warning, 1)[0]; fmt.Sprint(e["settings"]) != "[--fsync $DISK_RESERVE]" {
		t.Errorf("logged %v", e)
	}
	p.stop()
	p = start(t, nil)
	p.stop()
	if p.logged(warning) {
		t.Error("a warning without such settings")
	}
	p = startKept(t, t.TempDir(), "--fsync", "50ms", "--disk-reserve", "1MiB")
	if e := p.await("store opened", 1)[0]; e["fsync"] != "50ms" || e["disk_reserve_bytes"] != float64(1<<20) {
		t.Errorf("logged %v", e)
	}
	p.signal(syscall.SIGTERM)
	if err := p.wait(); err != nil || p.logged(warning) {
		t.Errorf("%v, or a warning without reason", err)
	}
}

// The README's command that serves a page and keeps the state does both.
func TestTheReadmeKeepsTheState(t *testing.T) {
	t.Parallel()
	const program = "go run ./cmd/rtdb "
	var args []string
	for _, b := range manualBlocks(t, mainManual) {
		for _, line := range b.lines {
			if rest, ok := strings.CutPrefix(line, program); ok && strings.Contains(rest, "--data-dir") {
				args = strings.Fields(rest)
			}
		}
	}
	if args == nil {
		t.Fatalf("%s has no such command", mainManual)
	}
	dir := t.TempDir()
	saveReadmePage(t, filepath.Join(dir, "pages"))
	for _, status := range []int{404, 200} {
		p := startWith(t, func(c *exec.Cmd) { c.Dir = dir }, args...)
		p.await("state loaded", 1)
		p.write("GET", "/", "", 200)
		p.write("GET", "/data/temperature", "", status)
		p.write("PUT", "/data/temperature", `{"value":22}`, 200)
		p.kill()
	}
}
