package transport_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A feed is the text of an event stream.
type feed struct {
	t    testing.TB
	r    *bufio.Reader
	end  func()
	head http.Header
}

// feed opens an event stream with headers, which are names and values in turn.
func (w *wire) feed(t testing.TB, query string, headers ...string) *feed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.addr+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{t, bufio.NewReader(answer.Body), sync.OnceFunc(func() {
		cancel()
		_ = answer.Body.Close()
	}), answer.Header}
	t.Cleanup(f.end)
	if answer.StatusCode != 200 {
		t.Fatalf("GET /events?%s: %d", query, answer.StatusCode)
	}
	if first := f.block(); !strings.HasPrefix(first, "retry: ") {
		t.Errorf("the stream begins with %q", first)
	}
	return f
}

// block reads to the next empty line and returns the lines, separated by |.
func (f *feed) block() string {
	f.t.Helper()
	var lines []string
	for {
		line, err := f.r.ReadString('\n')
		if err != nil {
			f.t.Fatalf("the stream ended after %q: %v", lines, err)
		}
		if line == "\n" {
			return strings.Join(lines, "|")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

// wantEnd expects the event that says why the server ends the stream, and the end.
func (f *feed) wantEnd(code int, reason string) {
	f.t.Helper()
	f.want(fmt.Sprintf(`event: end|data: {"reason":%q,"code":%d}`, reason, code))
	if rest, err := io.ReadAll(f.r); err != nil || len(rest) != 0 {
		f.t.Errorf("after the last event came %q, %v", rest, err)
	}
}

// want expects blocks, in order.
func (f *feed) want(blocks ...string) {
	f.t.Helper()
	for _, want := range blocks {
		if got := f.block(); got != want {
			f.t.Fatalf("the stream says %q, want %q", got, want)
		}
	}
}
