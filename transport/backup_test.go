package transport_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport"
)

// failingBackup returns a backup that writes text and then fails.
func failingBackup(text, failure string) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		if text != "" {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
		}
		return errors.New(failure)
	}
}

func TestABackupIsATarFile(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	var calls atomic.Int32
	backup := func(_ context.Context, w io.Writer) error {
		calls.Add(1)
		out := tar.NewWriter(w)
		if err := out.WriteHeader(&tar.Header{Name: "snapshot", Mode: 0o600, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
		return out.Close()
	}
	secured := newWire(t, transport.Options{Keys: testKeys(t), Backup: backup})
	secured.wantTry(t, "401 unauthorized", "GET", "/backup", "")
	secured.wantTry(t, "403 forbidden", "GET", "/backup", "", "Authorization", "Bearer "+token(t, `{"read":["#"]}`, time.Hour))
	private := newWire(t, transport.Options{Admin: true, Backup: backup})
	private.wantTry(t, "404 not_found", "GET", "/backup", "")
	if n := calls.Load(); n != 0 {
		t.Fatalf("%d backups for clients that may not make one", n)
	}
	operator := *private
	operator.addr = private.adminListener(t)
	for name, c := range map[string]struct {
		w       *wire
		headers []string
	}{
		"a token":        {secured, []string{"Authorization", "Bearer " + token(t, `{"admin":true}`, time.Hour)}},
		"admin listener": {&operator, nil},
	} {
		before := calls.Load()
		for _, method := range []string{"HEAD", "GET"} {
			answer, body := c.w.call(t, method, "/backup", "", c.headers...)
			if h := answer.Header; answer.StatusCode != 200 || h.Get("Content-Type") != "application/x-tar" ||
				h.Get("Content-Disposition") != `attachment; filename="rtdb-backup.tar"` ||
				h.Get("Cache-Control") != "no-store, no-transform" {
				t.Errorf("%s, %s: %d %v", name, method, answer.StatusCode, h)
			}
			if method == "HEAD" {
				if n := calls.Load() - before; n != 0 || body != "" {
					t.Errorf("%s: HEAD makes %d backups", name, n)
				}
				continue
			}
			in := tar.NewReader(strings.NewReader(body))
			if h, err := in.Next(); err != nil || h.Name != "snapshot" {
				t.Fatalf("%s: %v, %v", name, h, err)
			}
			if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes and %v, want the %d that were written", name, len(got), err, len(content))
			}
		}
		for _, method := range []string{"POST", "DELETE"} {
			c.w.wantTry(t, "405 method_not_allowed", method, "/backup", "", c.headers...)
		}
		c.w.wantTry(t, "400 invalid_request", "GET", "/backup?x=1", "", c.headers...)
	}
	for _, e := range secured.log.lines(t, "http request") {
		if e["route"] != "/backup" {
			t.Errorf("logged %v", e)
		}
	}
}

func TestAServerInMemoryHasNoBackup(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "GET", "/backup", "", 404, "this server keeps its state in memory; start it with --data-dir")
	w = newWire(t, transport.Options{Node: "a"})
	w.want(t, "GET", "/backup", "", 404, "make a backup there by nats stream backup")
	w.want(t, "HEAD", "/backup", "", 404, "")
}

// A client sees that a backup failed: by the status, or if it comes too late for that, by a
// transfer that breaks off. An alert fires for both.
func TestABackupThatFails(t *testing.T) {
	const failures = `rtdb_http_requests_total{code="500",route="/backup"}`
	early := newWire(t, transport.Options{Backup: failingBackup("", "segment 7 cannot be read")})
	answer, text := early.call(t, "GET", "/backup", "")
	if answer.StatusCode != 500 || answer.Header.Get("Content-Disposition") != "" ||
		text != `{"error":{"code":"internal","message":"the backup failed: segment 7 cannot be read"}}` {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, text)
	}
	if n := early.metric(t, failures); n != 1 {
		t.Errorf("%v failures were counted, want 1", n)
	}

	for _, length := range []int{1, 1000, 100_000, 2_000_000} {
		w := newWire(t, transport.Options{Backup: failingBackup(strings.Repeat("x", length), "segment 7 cannot be read")})
		server := httptest.NewUnstartedServer(w.Server)
		server.EnableHTTP2 = true
		server.StartTLS()
		defer server.Close()
		operator := *w
		operator.addr = w.adminListener(t)
		for i, c := range []struct {
			client *http.Client
			url    string
		}{
			{http.DefaultClient, "http://" + w.addr},
			{http.DefaultClient, "http://" + operator.addr},
			{server.Client(), server.URL}, // over HTTP/2
		} {
			answer, err := c.client.Get(c.url + "/backup")
			if err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			if err == nil {
				t.Errorf("%d bytes, client %d: the backup looks whole", length, i)
			}
		}
		server.Client().CloseIdleConnections()
		for _, e := range w.log.await(t, "http request", 3) {
			if e["code"] != "internal" || e["error"] != "internal: the backup failed: segment 7 cannot be read" {
				t.Errorf("logged %v", e)
			}
		}
		if n := w.metric(t, failures); n != 2 { // the operator's listener counts nothing
			t.Errorf("%v failures were counted, want 2", n)
		}
	}
}

// A client that leaves ends its backup, and is not a failure of the server.
func TestAClientLeavesItsBackup(t *testing.T) {
	for name, backup := range map[string]func(context.Context, io.Writer) error{
		"which writes": func(_ context.Context, w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					return err
				}
			}
		},
		"which waits": func(ctx context.Context, w io.Writer) error {
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		w := newWire(t, transport.Options{Backup: backup})
		ctx, cancel := context.WithCancel(t.Context())
		answer, err := http.DefaultClient.Do(must(http.NewRequestWithContext(ctx, "GET", "http://"+w.addr+"/backup", nil)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(answer.Body, make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = answer.Body.Close()
		if e := w.log.await(t, "http request", 1)[0]; e["status"] != 200.0 || e["code"] != nil || e["error"] == nil {
			t.Errorf("a backup %s: logged %v", name, e)
		}
		if n := w.metric(t, `rtdb_http_requests_total{code="500",route="/backup"}`); n != 0 {
			t.Errorf("a backup %s: %v failures were counted", name, n)
		}
	}
}

// startBackup asks for a backup on a connection in memory, and reads the header of the
// response.
func (p *piped) startBackup(t *testing.T) (net.Conn, *http.Response) {
	t.Helper()
	ours, theirs := net.Pipe()
	p.listener.accept <- theirs
	if _, err := io.WriteString(ours, "GET /backup HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(ours), nil)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v, %v", answer, err)
	}
	return ours, answer
}

// overHTTP2 serves on a listener as Serve does, but speaks HTTP/2 without TLS.
func (p *piped) overHTTP2(t *testing.T) (l *pipes, end func()) {
	t.Helper()
	l = &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := http.Server{Handler: p.Server, WriteTimeout: 35 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return l, func() {
		_ = server.Close()
		serving.Wait()
	}
}

// A backup may take as long as it needs, whether the store or the client is slow.
func TestABackupMayTakeLong(t *testing.T) {
	const pieces, size = 40, 30_000
	backup := func(ctx context.Context, w io.Writer) error {
		for range pieces {
			time.Sleep(transport.StallTimeout + 5*time.Second)
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", major), func(t *testing.T) {
			inBubbleWith(t, transport.Options{Backup: backup}, func(t *testing.T, p *piped) {
				l := p.listener
				client := http.Transport{Protocols: new(http.Protocols)}
				client.Protocols.SetHTTP1(major == 1)
				client.Protocols.SetUnencryptedHTTP2(major == 2)
				if major == 2 {
					other, end := p.overHTTP2(t)
					defer end()
					l = other
				}
				defer client.CloseIdleConnections()
				client.DialContext = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					l.accept <- theirs
					return ours, nil
				}
				start := time.Now()
				answer, err := client.RoundTrip(must(http.NewRequest("GET", "http://localhost/backup", nil)))
				if err != nil || answer.StatusCode != 200 || answer.ProtoMajor != major {
					t.Fatalf("%v, %v", answer, err)
				}
				for range pieces {
					if _, err := io.ReadFull(answer.Body, make([]byte, size)); err != nil {
						t.Fatalf("after %v: %v", time.Since(start), err)
					}
					time.Sleep(transport.StallTimeout - time.Second)
				}
				if n, err := answer.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("the end: %d, %v", n, err)
				}
				if took := time.Since(start); took < 10*time.Minute {
					t.Errorf("it took only %v", took)
				}
				_ = answer.Body.Close()
			})
		})
	}
}

// A client that takes nothing is cut off, and does not keep the store's files open.
func TestABackupEndsIfItsClientStalls(t *testing.T) {
	backup := func(_ context.Context, w io.Writer) (err error) {
		for err == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		return err
	}
	inBubbleWith(t, transport.Options{Backup: backup}, func(t *testing.T, p *piped) {
		c, answer := p.startBackup(t)
		if _, err := io.ReadFull(answer.Body, make([]byte, 3<<20)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(transport.StallTimeout + time.Second)
		synctest.Wait()
		if e := p.log.lines(t, "http request"); len(e) != 1 || !strings.Contains(fmt.Sprint(e[0]["error"]), "takes no bytes") || e[0]["code"] != nil {
			t.Errorf("logged %v", e)
		}
		_ = c.Close()
	})
}

// A shutdown breaks off a backup at once: it could take longer than the grace.
func TestShutdownBreaksOffABackup(t *testing.T) {
	for name, backup := range map[string]func(context.Context, io.Writer) error{
		"which writes": func(_ context.Context, w io.Writer) error { // and whose client reads nothing more
			for {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					return err
				}
			}
		},
		"which waits": func(ctx context.Context, w io.Writer) error {
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				return err
			}
			<-ctx.Done()
			_, err := w.Write(make([]byte, 10_000))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbleWith(t, transport.Options{Backup: backup}, func(t *testing.T, p *piped) {
				c, answer := p.startBackup(t)
				if _, err := io.ReadFull(answer.Body, make([]byte, 10_000)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				if err := p.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("Shutdown took %v", took)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err == nil {
					t.Error("the backup looks whole")
				}
				_ = c.Close()
				if e := p.log.lines(t, "http request"); len(e) != 1 || e[0]["code"] != "unavailable" {
					t.Errorf("logged %v", e)
				}
			})
		})
	}
}
