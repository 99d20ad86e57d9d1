package transport_test

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

func TestMain(m *testing.M) {
	transporttest.Parallel(8) // those that are parallel wait for time-outs
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for something that should come at once.
const patience = 20 * time.Second

// A wire is a server on a TCP listener. Its keyspace's first version is 1.
type wire struct {
	*transport.Server
	keyspace *keyspace.Keyspace
	store    *gatedStore
	addr     string
	log      *logBuffer
}

// A gatedStore holds commits back if a test wants it to. Its epoch is "e", and each value
// was written at a time that tells its version.
type gatedStore struct {
	keyspace.Store
	brief atomic.Bool
	mu    sync.Mutex
	gate  func(keyspace.Record) // called before each commit; may be nil
	last  uint64                // the highest version that was committed
}

func (s *gatedStore) Commit(ctx context.Context, writes []keyspace.Record) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		gate(writes[0])
	}
	err := s.Store.Commit(ctx, writes)
	for i := range writes {
		if !writes[i].Touch {
			writes[i].Written = 1000 * int64(writes[i].Version)
		}
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last = max(s.last, writes[len(writes)-1].Version)
	}
	return err
}

// Brief implements [keyspace.BriefStore].
func (s *gatedStore) Brief() bool { return s.brief.Load() }

func (s *gatedStore) Load(state keyspace.State) (keyspace.History, error) {
	h, err := s.Store.Load(state)
	h.Epoch = "e"
	return h, err
}

func (s *gatedStore) highest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *gatedStore) hold(gate func(keyspace.Record)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

// newWire starts a server. It ends with the test, which then compares the log with the
// manual.
func newWire(t testing.TB, o transport.Options) *wire {
	t.Helper()
	return newWireOn(t, keyspace.Options{}, o)
}

// newWireOn is newWire with options for the keyspace. Its store is always a gatedStore.
func newWireOn(t testing.TB, k keyspace.Options, o transport.Options) *wire {
	t.Helper()
	store := &gatedStore{Store: keyspace.NewMemory(1)}
	k.Store = store
	ks, err := keyspace.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	return serveKeyspace(t, ks, store, o)
}

// serveKeyspace starts a server of a keyspace, which need not be loaded.
func serveKeyspace(t testing.TB, ks *keyspace.Keyspace, store *gatedStore, o transport.Options) *wire {
	t.Helper()
	w := &wire{keyspace: ks, store: store, log: newLogBuffer()}
	o.Logger = zerolog.New(w.log)
	w.Server = transport.NewServer(ks, o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := w.Serve(l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		serving.Wait()
		if err := ks.Shutdown(ctx); err != nil {
			t.Errorf("keyspace: %v", err)
		}
		transporttest.CheckEvents(t, "../cmd/rtdb/README.md", slices.Collect(strings.Lines(w.log.text())))
	})
	return w
}

// settle waits until subscribers were told of all writes that were answered, because a
// write is answered before that.
func (w *wire) settle() {
	for w.keyspace.Revision() < w.store.highest() {
		runtime.Gosched()
	}
}

// adminListener starts the operator's listener and returns its address.
func (w *wire) adminListener(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := w.ServeAdmin(l); err != nil {
			t.Errorf("ServeAdmin: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := w.Shutdown(context.Background()); err != nil { // it ends this listener, too
			t.Errorf("Shutdown: %v", err)
		}
		serving.Wait()
	})
	return l.Addr().String()
}

// startShutdown begins a shutdown, waits until the server is draining, and returns the
// channel that gets the result of Shutdown.
func (w *wire) startShutdown(t *testing.T, grace time.Duration) chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		ended <- w.Shutdown(ctx)
	}()
	transporttest.Eventually(t, "/readyz turns to 503", func() bool {
		answer, _ := w.call(t, "GET", "/readyz", "")
		return answer.StatusCode == http.StatusServiceUnavailable
	})
	return ended
}

// must returns x and panics if err is not nil.
func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}
