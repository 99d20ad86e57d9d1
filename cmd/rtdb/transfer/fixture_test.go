package transfer_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rtdb/cmd/rtdb/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the longest time that a test waits for an event.
const patience = 30 * time.Second

// serve runs a server with the handler.
func serve(t *testing.T, handler http.HandlerFunc) transfer.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return transfer.Server{URL: s.URL, Patience: patience}
}
