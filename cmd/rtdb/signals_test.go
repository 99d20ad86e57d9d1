//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// quietSignals must not touch a server, and endingSignals must end it gracefully.
var (
	quietSignals = append([]syscall.Signal{
		syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGPROF,
		syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGCONT, syscall.SIGCHLD, syscall.SIGWINCH,
		syscall.SIGURG, syscall.SIGIO, syscall.SIGXCPU, syscall.SIGXFSZ,
	}, systemQuietSignals...)
	endingSignals = append([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, systemEndingSignals...)
)

func TestSignalsThatDoNothing(t *testing.T) {
	p := start(t, nil)
	c := dial(t, p)
	ask := func(message, want string) {
		t.Helper()
		if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, text, err := c.ReadMessage(); err != nil || !strings.Contains(string(text), want) {
			t.Fatalf("%s: %s, %v; want %s", message, text, err, want)
		}
	}
	ask(`{"action":"set","key":"k","value":"kept","id":1}`, `"ok":true`)
	for _, s := range quietSignals {
		p.signal(s)
		ask(`{"action":"get","key":"k","id":1}`, `"kept"`)
	}
	p.await("files read again", 1)
	ask(`{"action":"get","key":"k","id":1}`, `"kept"`)
	p.stop()
}

func TestSignalsThatEndIt(t *testing.T) {
	for _, s := range endingSignals {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, nil)
			_, gone := stubborn(t, p)
			p.signal(s)
			if code := <-gone; code != 1012 {
				t.Errorf("the session was closed with %d, want 1012", code)
			}
			if err := p.wait(); err != nil {
				t.Errorf("%v, want exit status 0", err)
			}
			if e := p.await("server draining", 1)[0]; e["reason"] != s.String() {
				t.Errorf("logged %v, want the reason %s", e, s)
			}
		})
	}
}

// A hangup that comes while the server ends does not cut its clients off.
func TestAHangupWhileItEnds(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	_, gone := stubborn(t, p)
	p.signal(syscall.SIGTERM)
	<-gone
	p.signal(syscall.SIGHUP)
	if err := p.wait(); err != nil {
		t.Errorf("%v, want exit status 0", err)
	}
	p.await("server stopped", 1)
}

// At a hangup the certificate is read again, even if its files look the same. What has
// changed is logged.
func TestAHangupReadsTheCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "cert-and-key.pem")
	certificate := func(serial int64) (text string) {
		t.Helper()
		parts := []string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
		makeCertificate(t, parts[0], parts[1], serial)
		for _, part := range parts {
			b, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
		return text
	}
	replace(t, file, certificate(1))
	p := start(t, nil, "--tls-cert-file", file, "--tls-key-file", file)
	hangup := func(n int) {
		t.Helper()
		p.signal(syscall.SIGHUP)
		if e := p.await("files read again", n)[n-1]; e["signal"] != "hangup" {
			t.Errorf("logged %v", e)
		}
	}
	hangup(1)
	replace(t, file, "half a file")
	hangup(2)
	p.await("certificate not changed", 1)
	replace(t, file, certificate(2))
	hangup(3)
	p.await("certificate changed", 1) // and no client has connected
	p.stop()
	for message, want := range map[string]int{"certificate changed": 1, "certificate not changed": 1} {
		if got := p.await(message, want); len(got) != want {
			t.Errorf("%d lines %q, want %d", len(got), message, want)
		}
	}
}

// An operator who has read in the log that the files were read can rely on it.
func TestFilesAreReadBeforeTheLogSaysSo(t *testing.T) {
	var out bytes.Buffer
	s, ended := signals{hangup: make(chan os.Signal)}, make(chan struct{})
	var reloading sync.WaitGroup
	reloading.Go(func() {
		s.reloadAtHangup(zerolog.New(&out), func() {
			if out.Len() > 0 {
				t.Errorf("logged before the files were read: %s", out.String())
			}
		}, ended)
	})
	s.hangup <- syscall.SIGHUP
	close(ended)
	reloading.Wait()
	if !strings.Contains(out.String(), "files read again") {
		t.Errorf("logged %q", out.String())
	}
}
