package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"rtdb/keyspace"
)

func TestSignalsWithoutSessions(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t, nil)
		p.call("POST", "/data/k", `{"value":1}`)
		began := time.Now()
		p.signal(s)
		if err := p.wait(); err != nil {
			t.Errorf("%v: %v, want exit status 0", s, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%v: it took %v to end", s, took)
		}
		p.await("server stopped", 1)
	}
}

// stubborn opens a session that does not answer the close frame, so that draining it
// takes one second.
func stubborn(t *testing.T, p *process) (c *websocket.Conn, gone chan int) {
	c = dial(t, p)
	gone = make(chan int, 1)
	c.SetCloseHandler(func(code int, _ string) error { gone <- code; return nil })
	go func() {
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	}()
	p.await("session opened", 1)
	return c, gone
}

func TestASignalDrains(t *testing.T) {
	p := start(t, nil)
	_, gone := stubborn(t, p)
	p.signal(syscall.SIGTERM)
	if code := <-gone; code != 1012 {
		t.Errorf("the session was closed with %d, want 1012", code)
	}
	// The listener is still open, as long as the session is waited for.
	if status, text := p.call("GET", "/readyz", ""); status != 503 || !strings.Contains(text, "unavailable") {
		t.Errorf("/readyz: %d %s, want 503", status, text)
	}
	if err := p.wait(); err != nil {
		t.Errorf("%v, want exit status 0", err)
	}
	if e := p.await("session closed", 1)[0]; e["code"] != 1012.0 {
		t.Errorf("logged %v", e)
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p := start(t, nil)
	_, gone := stubborn(t, p)
	p.signal(syscall.SIGTERM)
	<-gone
	p.signal(syscall.SIGTERM)
	err := p.wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("%v, want an end by the signal", err)
	}
}

// A second signal counts even if it arrives before the first one is handled.
func TestTwoSignalsAtOnce(t *testing.T) {
	p := start(t, nil)
	stubborn(t, p)
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGINT)
	err := p.wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("%v, want an end by the second signal", err)
	}
}

func TestAPanicIsLoggedAsText(t *testing.T) {
	var out bytes.Buffer
	logPanic(zerolog.New(&out), keyspace.Panic{Target: keyspace.Key("k"), Value: errors.New("store: broken"), Stack: []byte("goroutine 1\nmain.go:1")})
	want := `{"level":"error","key":"k","error":"store: broken","stack":"goroutine 1\nmain.go:1","message":"actor panicked"}` + "\n"
	if out.String() != want {
		t.Errorf("logged %s, want %s", out.String(), want)
	}
}

func TestTheGraceIsALimit(t *testing.T) {
	p := start(t, nil, "--shutdown-grace", "300ms")
	stubborn(t, p)
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to end with a grace of 300ms", took)
	}
	if e := p.log(); e[len(e)-1]["message"] != "server stopped" {
		t.Errorf("the last line is %v", e[len(e)-1])
	}
}

// After a kill, the data is gone, but versions go on rising.
func TestVersionsRiseOverAKill(t *testing.T) {
	version := func(p *process) (v uint64) {
		t.Helper()
		_, text := p.call("POST", "/data/k", `{"value":1}`)
		var answer struct{ Version uint64 }
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Version
	}
	p := start(t, nil)
	before := version(p)
	p.signal(os.Kill)
	_ = p.wait()
	p = start(t, nil)
	if after := version(p); after <= before {
		t.Errorf("version %d after the restart, %d before", after, before)
	}
	p.stop()
}
