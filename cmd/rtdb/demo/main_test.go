package demo_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rtdb/cmd/rtdb/demo"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

func TestMain(m *testing.M) {
	transporttest.Parallel(4)
	goleak.VerifyTestMain(m)
}

// patience is the longest time that a test waits for an event.
const patience = 30 * time.Second

// A site is a server with the pages, in the test's process.
type site struct {
	*transporttest.Server
	t testing.TB
}

func newSite(t testing.TB) *site {
	return &site{transporttest.NewServer(t, transport.Options{Public: demo.Pages(), Console: true}), t}
}

func (s *site) server() demo.Server { return demo.Server{URL: s.URL()} }

// background runs something until stop is called, and wants that it returns nil then.
func (s *site) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := run(ctx); err != nil {
			s.t.Error(err)
		}
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	s.t.Cleanup(stop)
	return stop
}

// get returns the body of the answer to a GET.
func (s *site) get(path string) []byte {
	s.t.Helper()
	return s.call("GET", path, "")
}

// put writes a key, and publish a message of a topic. The values are JSON.
func (s *site) put(key, value string) {
	s.t.Helper()
	s.call("PUT", "/data/"+url.PathEscape(key), `{"value":`+value+`}`)
}

func (s *site) publish(topic, value string) {
	s.t.Helper()
	s.call("POST", "/topics/"+topic, `{"value":`+value+`}`)
}

func (s *site) call(method, path, body string) []byte {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer.StatusCode >= 300 {
		s.t.Errorf("%s %s: %s", method, path, text)
	}
	return text
}

// await waits until the answer to a GET matches a pattern.
func (s *site) await(path, pattern string) {
	s.t.Helper()
	expression := regexp.MustCompile(pattern)
	transporttest.Eventually(s.t, path+" matches "+pattern, func() bool { return expression.Match(s.get(path)) })
}

// list returns the values of the keys below a prefix, at most 1000.
func (s *site) list(prefix string) map[string]json.RawMessage {
	s.t.Helper()
	text := s.get("/data?limit=1000&prefix=" + prefix)
	var page struct {
		Items []struct {
			Key   string
			Value json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &page); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	values := make(map[string]json.RawMessage)
	for _, item := range page.Items {
		values[item.Key] = item.Value
	}
	return values
}

// states counts the devices below devices/ that are in a state.
func (s *site) states(state string) (n int) {
	s.t.Helper()
	for key, value := range s.list("devices/") {
		if len(key) > 6 && key[len(key)-6:] == "/state" && string(value) == `"`+state+`"` {
			n++
		}
	}
	return n
}
