package transfer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"rtdb/cmd/rtdb/transfer"
)

// A fakeStore answers batches as the server does, and fails as the test asks.
type fakeStore struct {
	t *testing.T

	mu       sync.Mutex
	values   map[string][]string // the values that were written to each key, in order
	requests int
	largest  int                                                    // bytes of a body
	fail     func(request int, w http.ResponseWriter) bool          // the whole request
	refuse   func(request int, key string) (code string, made bool) // an item
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var batch struct {
		Items []struct {
			Key   string
			Value json.RawMessage
		}
	}
	if err != nil || json.Unmarshal(body, &batch) != nil || len(batch.Items) == 0 || len(batch.Items) > 1000 {
		f.t.Errorf("a request with %v, %d items", err, len(batch.Items))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	f.largest = max(f.largest, len(body))
	if f.fail != nil && f.fail(f.requests, w) {
		return
	}
	var results []string
	for _, i := range batch.Items {
		code, made := "", true
		if f.refuse != nil {
			code, made = f.refuse(f.requests, i.Key)
		}
		if made {
			f.values[i.Key] = append(f.values[i.Key], string(i.Value))
		}
		if code != "" {
			results = append(results, fmt.Sprintf(`{"key":"k","error":{"code":%q,"message":"no"}}`, code))
		} else {
			results = append(results, `{"key":"k","version":1}`)
		}
	}
	fmt.Fprintf(w, `{"results":[%s]}`, strings.Join(results, ","))
}

func startFakeStore(t *testing.T) (*fakeStore, transfer.Server) {
	f := &fakeStore{t: t, values: make(map[string][]string)}
	return f, serve(t, f.ServeHTTP)
}

// Lines with the same key take effect in their order, also if requests and items fail
// meanwhile and are sent again.
func TestImportKeepsTheOrderOfAKey(t *testing.T) {
	f, server := startFakeStore(t)
	f.fail = func(request int, w http.ResponseWriter) bool {
		switch request {
		case 2:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"error":{"code":"rate_limited","message":"too many"}}`)
		case 4:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 6:
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	}
	failed := 0
	f.refuse = func(int, string) (string, bool) {
		if failed++; failed%97 == 0 && failed < 1000 {
			return "unavailable", false
		}
		return "", true
	}
	var lines strings.Builder
	const keys, writes = 40, 20
	for n := range writes {
		for k := range keys {
			fmt.Fprintf(&lines, `{"key":"k%d","value":%d}`+"\n", k, n)
		}
	}
	result, err := transfer.Import(t.Context(), transfer.ImportOptions{Server: server, From: strings.NewReader(lines.String())})
	if err != nil || result.Keys != keys*writes || result.Failed != 0 {
		t.Fatalf("got %+v, %v", result, err)
	}
	for key, values := range f.values {
		if len(values) != writes {
			t.Errorf("%s was written %d times", key, len(values))
		}
		for n, v := range values {
			if v != fmt.Sprint(n) {
				t.Fatalf("%s got %q", key, values)
			}
		}
	}
	if len(f.values) != keys {
		t.Errorf("%d keys", len(f.values))
	}
}

// A batch stays below 1 MiB, unless one item is larger.
func TestImportBatches(t *testing.T) {
	f, server := startFakeStore(t)
	value := strings.Repeat("x", 40_000)
	var lines strings.Builder
	for k := range 200 {
		fmt.Fprintf(&lines, `{"key":"k%d","value":"%s"}`+"\n", k, value)
	}
	result, err := transfer.Import(t.Context(), transfer.ImportOptions{Server: server, From: strings.NewReader(lines.String())})
	if err != nil || result.Keys != 200 || f.largest > 1<<20 || f.largest < 1<<19 {
		t.Errorf("got %+v, %v; the largest body has %d bytes", result, err, f.largest)
	}
	f.largest = 0
	large := `{"key":"k","value":"` + strings.Repeat("x", 2<<20) + `"}`
	if result, err := transfer.Import(t.Context(), transfer.ImportOptions{Server: server, From: strings.NewReader(large)}); err != nil || result.Keys != 1 || f.largest < 2<<20 {
		t.Errorf("got %+v, %v; the largest body has %d bytes", result, err, f.largest)
	}
}

func TestImportReportsLines(t *testing.T) {
	f, server := startFakeStore(t)
	f.refuse = func(_ int, key string) (string, bool) {
		switch key {
		case "bad":
			return "forbidden", false
		case "old":
			return "version_mismatch", false
		}
		return "", true
	}
	const input = "{\"key\":\"a\",\"value\":1}\n\n{\"key\":\"bad\",\"value\":1}\n{\"key\":\"old\",\"value\":1}\nnonsense\n{\"key\":\"b\",\"value\":1}"
	seen := make(map[string]bool)
	result, err := transfer.Import(t.Context(), transfer.ImportOptions{
		Server: server, From: strings.NewReader(input), IfAbsent: true,
		OnLineError: func(e *transfer.LineError) { seen[e.Error()] = true },
	})
	if err != nil || result != (transfer.ImportResult{Keys: 2, Kept: 1, Failed: 2}) || len(seen) != 2 ||
		!seen[`line 3: key "bad": no (forbidden)`] {
		t.Errorf("got %+v, %v, %v", result, err, seen)
	}

	// Without OnLineError the first line that cannot be read ends the import, and the
	// lines before it are imported.
	clear(f.values)
	result, err = transfer.Import(t.Context(), transfer.ImportOptions{Server: server, From: strings.NewReader("{\"key\":\"a\",\"value\":1}\nnonsense\n{\"key\":\"b\",\"value\":1}")})
	var bad *transfer.LineError
	if !errors.As(err, &bad) || bad.Line != 2 || result.Keys != 1 || len(f.values["a"]) != 1 || len(f.values["b"]) != 0 {
		t.Errorf("got %+v, %v, %v", result, err, f.values)
	}
}

// An interrupt ends an import although its input does not end.
func TestImportEndsWhileItWaitsForInput(t *testing.T) {
	_, server := startFakeStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, keep := io.Pipe()
	defer keep.Close() // ends the read that is left
	go func() {
		_, _ = io.WriteString(keep, "{\"key\":\"a\",\"value\":1}\n")
		cancel()
	}()
	if result, err := transfer.Import(ctx, transfer.ImportOptions{Server: server, From: in}); !errors.Is(err, transfer.ErrInterrupted) {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestImportIsRefused(t *testing.T) {
	f, server := startFakeStore(t)
	for status, want := range map[int]string{
		http.StatusUnauthorized:          "401",
		http.StatusRequestEntityTooLarge: `line 1: key "a"`,
		http.StatusOK:                    "0 results for 1 items",
	} {
		f.fail = func(_ int, w http.ResponseWriter) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, `{"results":[]}`)
			return true
		}
		_, err := transfer.Import(t.Context(), transfer.ImportOptions{Server: server, From: strings.NewReader(`{"key":"a","value":1}`)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("status %d: %v, want %s", status, err, want)
		}
	}
	if _, err := transfer.Import(t.Context(), transfer.ImportOptions{Server: transfer.Server{URL: "http://127.0.0.1:1"}, From: strings.NewReader(`{"key":"a","value":1}`)}); err == nil || !strings.Contains(err.Error(), "cannot reach the server") {
		t.Errorf("without a server: %v", err)
	}
}
