package transfer_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rtdb/cmd/rtdb/transfer"
)

// Export goes on after the last key that it has read, however a page has failed.
func TestExportGoesOnAfterAFailure(t *testing.T) {
	const first = `{"items":[{"key":"a","value":1,"version":1,"at":1},{"key":"b","value":null,"version":2,"at":1,"expires_in":1.50}`
	var mu sync.Mutex
	step := 0
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		after := r.URL.Query().Get("after")
		step++
		want := map[int]string{2: "b", 3: "b", 4: "c", 5: "d", 6: "d"}[step]
		if after != want || r.URL.Query().Get("limit") != "1000" {
			t.Errorf("request %d is %s, want after=%s", step, r.URL, want)
		}
		switch step {
		case 1: // cut in the middle of an item
			fmt.Fprint(w, first, `,{"key":"c","val`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"code":"unavailable","message":"loading"}}`)
		case 3: // ended without an error of HTTP
			fmt.Fprint(w, `{"items":[{"key":"c","value":[1, 2],"new":{"a":[]}}`)
		case 4:
			fmt.Fprint(w, `{"items":[{"key":"\u0064","value":"x"}],"next":"d","newer":[{"key":"no"}]}`)
		case 5:
			panic(http.ErrAbortHandler)
		default:
			fmt.Fprint(w, `{"items":[{"key":"e","value":1e400}]}`)
		}
	})
	var out strings.Builder
	result, err := transfer.Export(t.Context(), transfer.ExportOptions{Server: server, To: &out})
	want := `{"key":"a","value":1}
{"key":"b","value":null,"expires_in":1.50}
{"key":"c","value":[1, 2]}
{"key":"\u0064","value":"x"}
{"key":"e","value":1e400}
`
	if err != nil || result.Keys != 5 || out.String() != want {
		t.Errorf("got %d keys, %v:\n%s", result.Keys, err, out.String())
	}
}

// A failure that cannot pass ends the export at once.
func TestExportFails(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                                          "malformed",
		`{"items":[{"key":1,"value":1}]}`:             "malformed",
		`{"items":[{"key":"a"}]}`:                     "no key or no value",
		`{"items":[{"key":"a","value":tru}]}`:         "malformed",
		`{"items":[{"key":"a","value":1}],"next":""}`: "names the same key as its end",
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		if _, err := transfer.Export(t.Context(), transfer.ExportOptions{Server: server, To: io.Discard}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://db.example/data", http.StatusMovedPermanently)
	})
	if _, err := transfer.Export(t.Context(), transfer.ExportOptions{Server: server, To: io.Discard}); err == nil || !strings.Contains(err.Error(), "redirects to https://db.example/data: use") {
		t.Errorf("a redirect: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestExportToAFullDisk(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"items":[{"key":"a","value":1}]}`) })
	_, err := transfer.Export(t.Context(), transfer.ExportOptions{Server: server, To: failingWriter{}})
	var output *transfer.OutputError
	if !errors.As(err, &output) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

// A server that answers nothing is given up, whether it does so before or in a page.
func TestExportFromAStalledServer(t *testing.T) {
	for _, start := range []string{"", `{"items":[{"key":"a","value":1},`} {
		ended := make(chan struct{})
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if start != "" && r.URL.Query().Get("after") == "" {
				fmt.Fprint(w, start)
				_ = http.NewResponseController(w).Flush()
			}
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		})
		server.Patience = 50 * time.Millisecond
		_, err := transfer.Export(t.Context(), transfer.ExportOptions{Server: server, To: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "has stopped sending") {
			t.Errorf("after %q: %v", start, err)
		}
		close(ended)
	}
}
