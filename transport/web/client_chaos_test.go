package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// A stage is a server behind a spoiling proxy, which a script commands over HTTP.
type stage struct {
	t     *testing.T
	proxy *transporttest.Proxy

	mu     sync.Mutex
	server *transporttest.Server
}

// newStage returns the variables that lead a script to the stage.
func newStage(t *testing.T) []string {
	t.Helper()
	server := transporttest.NewServer(t, transport.Options{})
	s := &stage{t: t, server: server, proxy: transporttest.NewProxy(t, server.Addr)}
	control := httptest.NewServer(http.HandlerFunc(s.control))
	t.Cleanup(control.Close)
	return []string{"RTDB_URL=" + s.proxy.URL(), "RTDB_CONTROL=" + control.URL}
}

// control obeys a command, and answers with the server's address.
func (s *stage) control(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := r.FormValue("on") != ""
	switch r.URL.Path {
	case "/":
	case "/cut":
		s.proxy.Cut()
	case "/stall":
		s.proxy.Stall(on)
	case "/swallow":
		s.proxy.Swallow(on)
	case "/refuse":
		s.proxy.Refuse(on)
	case "/delay":
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		s.proxy.Delay(time.Duration(ms) * time.Millisecond)
	case "/restart":
		// The state is in memory: the new server has another epoch, and nothing in it.
		old := s.server
		s.server = transporttest.NewServer(s.t, transport.Options{})
		s.proxy.Retarget(s.server.Addr)
		old.Stop()
	default:
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, s.server.URL())
}

// rounds returns how often a script spoils its connection: fewer times outside of CI.
func rounds(inCI, elsewhere int) string {
	if os.Getenv("CI") != "" {
		return "RTDB_ROUNDS=" + strconv.Itoa(inCI)
	}
	return "RTDB_ROUNDS=" + strconv.Itoa(elsewhere)
}

func TestClientEndsAtTheServersStateThroughCuts(t *testing.T) {
	t.Parallel()
	needPackages(t)
	t.Log(run(t, ".", append(newStage(t), rounds(1000, 150)), "node", "testdata/chaos.mjs"))
}

func TestClientEndsAtTheServersStateThroughCutsOfEventStreams(t *testing.T) {
	t.Parallel()
	needPackages(t)
	t.Log(run(t, ".", append(newStage(t), rounds(200, 40), "RTDB_FALLBACK=1"), "node", "testdata/chaos.mjs"))
}
