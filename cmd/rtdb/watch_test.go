package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A watching is a rtdb watch that runs.
type watching struct {
	t         *testing.T
	cmd       *exec.Cmd
	out, errs chan string // lines; closed at the end
}

func startWatch(t *testing.T, args ...string) *watching {
	t.Helper()
	w := &watching{t: t, cmd: command(nil, append([]string{"watch"}, args...)...)}
	w.out, w.errs = linesFrom(t, w.cmd.StdoutPipe), linesFrom(t, w.cmd.StderrPipe)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
	return w
}

// linesFrom returns the lines of a pipe.
func linesFrom(t *testing.T, pipe func() (io.ReadCloser, error)) chan string {
	t.Helper()
	r, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// next returns the next line of an output, without its time.
func (w *watching) next(lines chan string) string {
	w.t.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			w.t.Fatal("the watch has ended")
		}
		line = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t`).ReplaceAllString(line, "T\t")
		return moving.ReplaceAllStringFunc(line, func(s string) string {
			if strings.HasPrefix(s, `"at"`) {
				return `"at":T`
			}
			return "V"
		})
	case <-time.After(patience):
		w.t.Fatal("no line comes")
		return ""
	}
}

func (w *watching) want(lines ...string) {
	w.t.Helper()
	for _, want := range lines {
		if got := w.next(w.out); got != want {
			w.t.Errorf("the watch prints %q, want %q", got, want)
		}
	}
}

// interrupt ends the watch by Ctrl-C, and wants exit status 0.
func (w *watching) interrupt() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGINT); err != nil {
		w.t.Fatal(err)
	}
	for line := range w.out {
		w.t.Errorf("at the end it prints %q", line)
	}
	for line := range w.errs {
		w.t.Errorf("at the end it says %q", line)
	}
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("after SIGINT: %v", err)
	}
}

// set writes keys in their order.
func set(p *process, keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		if status, text := p.call("PUT", "/data/"+url.PathEscape(key), fmt.Sprintf(`{"value":%q}`, key)); status != 200 {
			p.t.Fatal(text)
		}
	}
}

func TestWatchPrintsChanges(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	set(p, "a/1", "a/2", "b")
	plain := startWatch(t, "a/#", "a/1", "--url", p.url)
	got := map[string]bool{plain.next(plain.out): true, plain.next(plain.out): true} // two patterns have no common order
	if !got["T\ta/1\t\"a/1\""] || !got["T\ta/2\t\"a/2\""] {
		t.Errorf("it begins with %v", got)
	}
	object := startWatch(t, "#", "--json", "--url", p.url)
	object.want(`{"key":"a/1","value":"a/1","version":V,"at":T,"snapshot":true}`, `{"key":"a/2","value":"a/2","version":V,"at":T,"snapshot":true}`,
		`{"key":"b","value":"b","version":V,"at":T,"snapshot":true}`)
	later := startWatch(t, "#", "--snapshot=false", "--url", p.url)
	const written = "T\tgo\t\"go\""
	for subscribed := false; !subscribed; {
		set(p, "go")
		select {
		case line := <-later.out:
			if subscribed = true; !strings.HasSuffix(line, written[1:]) {
				t.Errorf("without a snapshot it begins with %q", line)
			}
		case <-time.After(20 * time.Millisecond): // each write may be the first that it gets
		}
	}
	set(p, "a/1")
	if status, _ := p.call("DELETE", "/data/a/2", ""); status != 204 {
		t.Fatal(status)
	}
	plain.want("T\ta/1\t\"a/1\"", "T\ta/2\tdeleted")
	for line := ""; line != `{"key":"a/2","version":V,"at":T,"deleted":true}`; line = object.next(object.out) {
		if strings.Contains(line, "snapshot") {
			t.Errorf("a change: %s", line)
		}
	}
	for line := written; line != "T\ta/2\tdeleted"; line = later.next(later.out) {
		if line != written && line != "T\ta/1\t\"a/1\"" {
			t.Errorf("after the snapshot: %s", line)
		}
	}
	for _, w := range []*watching{plain, object, later} {
		w.interrupt()
	}
}

func TestWatchPrintsMessages(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	set(p, "a")
	w := startWatch(t, "a", "--topic", "chat", "--topic", "log/#", "--url", p.url)
	w.want("T\ta\t\"a\"")
	object := startWatch(t, "--topic", "#", "--json", "--url", p.url)
	publish := func(topic string) {
		if _, errs, status := runToEnd(t, nil, "publish", topic, "{}", "--url", p.url); status != 0 {
			t.Fatal(errs)
		}
	}
	for deadline := time.Now().Add(patience); len(w.out) == 0 || len(object.out) == 0; publish("chat") { // until they are subscribed
		if time.Now().After(deadline) {
			t.Fatal("no message comes")
		}
	}
	publish("log/x")
	for line := "T\tchat\t{}"; line != "T\tlog/x\t{}"; line = w.next(w.out) {
		if line != "T\tchat\t{}" {
			t.Fatal(line)
		}
	}
	const chat = `{"topic":"chat","value":{}}`
	for line := chat; line != `{"topic":"log/x","value":{}}`; line = object.next(object.out) {
		if line != chat {
			t.Fatal(line)
		}
	}
	w.interrupt()
	object.interrupt()
}

// A watch without a server says so once, and tries again. After a lost connection it prints
// the changes that it has missed.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	s := transporttest.NewServer(t, transport.Options{})
	proxy := transporttest.NewProxy(t, s.Addr)
	set := func(key, value string) {
		t.Helper()
		if _, errs, status := runToEnd(t, nil, "set", key, value, "--url", s.URL()); status != 0 {
			t.Fatal(errs)
		}
	}
	set("a", "1")
	proxy.Refuse(true)
	w := startWatch(t, "#", "--url", proxy.URL())
	if line := w.next(w.errs); !strings.HasPrefix(line, "rtdb: watch: no connection: ") || !strings.HasSuffix(line, ": trying again") {
		t.Errorf("it says %q", line)
	}
	proxy.Refuse(false)
	w.want("T\ta\t1")
	for line := ""; line != "rtdb: watch: connected"; line = w.next(w.errs) {
		if line != "" && !strings.HasSuffix(line, ": trying again") {
			t.Errorf("it says %q", line)
		}
	}
	proxy.Refuse(true)
	proxy.Cut()
	if line := w.next(w.errs); !strings.Contains(line, "no connection") {
		t.Errorf("it says %q", line)
	}
	set("a", "2")
	set("b", "3")
	proxy.Refuse(false)
	got := map[string]bool{w.next(w.out): true, w.next(w.out): true}
	if !got["T\ta\t2"] || !got["T\tb\t3"] {
		t.Errorf("it has missed %v", got)
	}
	set("c", "4")
	w.want("T\tc\t4")
	for line := ""; line != "rtdb: watch: connected"; line = w.next(w.errs) {
		if line != "" && !strings.HasSuffix(line, ": trying again") {
			t.Errorf("it says %q", line)
		}
	}
	w.interrupt()
}

// Ctrl-C ends a watch that has no connection, too.
func TestWatchIsInterruptedWithoutAServer(t *testing.T) {
	t.Parallel()
	w := startWatch(t, "#", "--url", "http://127.0.0.1:1")
	if line := w.next(w.errs); !strings.Contains(line, "connection refused: check --url ($RTDB_URL), or --host and --port: trying again") {
		t.Errorf("it says %q", line)
	}
	w.interrupt()
}

// A token that is refused, and a server that is not rtdb, end a watch.
func TestWatchEndsByItself(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"JWT_SECRET=" + testSecret})
	token := transporttest.Token(t, "", `{"read":["a"]}`, time.Hour)
	for _, test := range []struct{ args, want string }{
		{"a", "unauthorized"}, {"a --token x", "unauthorized"}, {"b --token " + token, "forbidden"}, {"a b --token " + token, "forbidden"},
		{"--topic t --token " + token, "forbidden"}, {"a --url " + p.url + "/x --token " + token, "not_found"},
	} {
		args := append([]string{"watch"}, strings.Fields(test.args)...)
		out, errs, status := runToEnd(t, []string{"RTDB_URL=" + p.url}, args...)
		if out != "" || status != exitFailure || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, test.want) {
			t.Errorf("watch %s: exit %d with %q %q, want %s", test.args, status, out, errs, test.want)
		}
	}
}

// A watch and a list whose reader has ended end quietly.
func TestWatchAndListIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	var items []map[string]any
	for i := range 1000 {
		items = append(items, map[string]any{"key": fmt.Sprint("k/", i), "value": strings.Repeat("x", 200)})
	}
	body, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := p.call("POST", "/data", string(body)); status != 200 {
		t.Fatal(text)
	}
	for _, args := range [][]string{{"watch", "#"}, {"list"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs strings.Builder
		c := command(nil, append(args, "--url", p.url)...)
		c.Stdout, c.Stderr = w, &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		kill := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
		if line, err := bufio.NewReaderSize(r, 16).ReadString('\n'); err != nil || !strings.Contains(line, "\tk/") && !strings.HasPrefix(line, "k/") {
			t.Errorf("%v: the first line is %q, %v", args, line, err)
		}
		_ = r.Close()
		for range 100 { // the rest of the first lines may have gone into the pipe
			set(p, "more")
		}
		if err := c.Wait(); err == nil || errs.String() != "" || !kill.Stop() {
			t.Errorf("%v: %v with %q", args, err, &errs)
		}
	}
}
