package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport/transporttest"
)

var kills = flag.Int("kills", 60, "how often the test of kills kills the server")

// A ledger holds the answers that the clients of a server got.
type ledger struct {
	mu       sync.Mutex
	versions map[uint64]bool // that were answered or read
	floor    uint64          // the highest version before the last start
	answered int             // writes since then
	target   int             // of answered
	reached  chan struct{}   // closed when answered is target

	accounts map[string]*account
}

// An account holds the answers for one key. Only one writer writes to the key.
type account struct {
	version uint64
	value   string  // of JSON; "": it has none
	tried   *string // the write without an answer, if there is one
}

// answer notes the answer of a write that was tried. Version 0 means that a delete found
// nothing.
func (l *ledger) answer(t *testing.T, key string, version uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[key]
	if version == 0 {
		if *a.tried != "" || a.value != "" {
			t.Errorf("%s has no value, but %s at version %d was answered", key, a.value, a.version)
		}
	} else {
		if l.versions[version] || version <= l.floor || version <= a.version {
			t.Errorf("%s: version %d is given out again: before the start there was %d, and of the key %d", key, version, l.floor, a.version)
		}
		a.version, a.value = version, *a.tried
		l.versions[version] = true
	}
	a.tried = nil
	if l.answered++; l.answered == l.target {
		close(l.reached)
	}
}

func (l *ledger) try(key, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts[key].tried = &value
}

// An item is a key of a listing or an update.
type item struct {
	Key     string
	Value   json.RawMessage
	Version uint64
	Deleted bool
}

// settle compares a listing with the answers. It returns the number of writes that are there
// without an answer.
func (l *ledger) settle(t *testing.T, listed map[string]item) (unanswered int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range listed {
		if l.accounts[key] == nil {
			t.Errorf("%s was never written", key)
		}
	}
	for key, a := range l.accounts {
		got := listed[key]
		switch value := string(got.Value); {
		case value == a.value && (value == "" || got.Version == a.version):
		case a.tried != nil && value == *a.tried && (value == "" || got.Version > a.version && !l.versions[got.Version]):
			unanswered++
		default:
			tried := "nothing"
			if a.tried != nil {
				tried = fmt.Sprintf("%.40q", *a.tried)
			}
			t.Errorf("%s holds %.40q at version %d; answered was %.40q at %d, and without an answer %s", key, value, got.Version, a.value, a.version, tried)
		}
		a.value, a.version, a.tried = string(got.Value), max(a.version, got.Version), nil
		if got.Version > 0 {
			l.versions[got.Version] = true
		}
		l.floor = max(l.floor, a.version)
	}
	return unanswered
}

// A killedWriter writes to three keys until its server is gone.
type killedWriter struct {
	number int
	ledger *ledger
	random *rand.Rand
	count  int
}

// next returns a write. An empty value is a delete.
func (w *killedWriter) next() (key, value string) {
	key = fmt.Sprintf("k/%d/%d", w.number, w.random.IntN(3))
	w.count++
	if w.random.IntN(5) > 0 {
		value = fmt.Sprintf(`"%d.%d.%s"`, w.number, w.count, strings.Repeat("x", w.random.IntN(300)))
	}
	w.ledger.try(key, value)
	return key, value
}

func (w *killedWriter) overREST(t *testing.T, url string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	for {
		key, value := w.next()
		method, body := http.MethodPut, `{"value":`+value+`}`
		if value == "" {
			method, body = http.MethodDelete, ""
		}
		r, err := http.NewRequest(method, url+"/data/"+key, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		answer, err := client.Do(r)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		var version uint64
		_, _ = fmt.Sscanf(answer.Header.Get("ETag"), `"%d"`, &version)
		switch notFound := answer.StatusCode == 404 && value == ""; {
		case answer.StatusCode/100 == 2 && version > 0, notFound: // the header is the answer
			w.ledger.answer(t, key, version)
		default:
			t.Errorf("%s %s: %s", method, key, answer.Status)
			return
		}
		if err != nil {
			return
		}
	}
}

func (w *killedWriter) overWebSocket(t *testing.T, c *websocket.Conn) {
	for {
		key, value := w.next()
		request := fmt.Sprintf(`{"action":"set","key":%q,"value":%s,"id":1}`, key, value)
		if value == "" {
			request = fmt.Sprintf(`{"action":"delete","key":%q,"id":1}`, key)
		}
		if c.WriteMessage(websocket.TextMessage, []byte(request)) != nil {
			return
		}
		var reply struct {
			OK      bool
			Version uint64
			Error   struct{ Code string }
		}
		if c.ReadJSON(&reply) != nil {
			return
		}
		if !reply.OK && (reply.Error.Code != "not_found" || value != "") {
			t.Errorf("%s: %+v", request, reply)
			return
		}
		w.ledger.answer(t, key, reply.Version)
	}
}

// list returns all keys of a server.
func (p *process) list() map[string]item {
	p.t.Helper()
	var page struct {
		Items []item
		Next  string
	}
	if err := json.Unmarshal([]byte(p.write("GET", "/data?limit=1000", "", 200)), &page); err != nil || page.Next != "" {
		p.t.Fatalf("the listing: %v, %q", err, page.Next)
	}
	listed := map[string]item{}
	for _, i := range page.Items {
		listed[i.Key] = i
	}
	return listed
}

// A mirror has the keys of a server, from updates alone.
type mirror map[string]item

func (m mirror) apply(t *testing.T, text []byte) {
	var u item
	if err := json.Unmarshal(text, &u); err != nil || u.Key == "" {
		t.Errorf("an update: %s, %v", text, err)
		return
	}
	if known := m[u.Key]; u.Version < known.Version {
		t.Errorf("%s goes back from version %d to %d", u.Key, known.Version, u.Version)
	}
	m[u.Key] = u
}

func (m mirror) compare(t *testing.T, listed map[string]item) {
	t.Helper()
	for key, u := range m {
		if got, ok := listed[key]; ok == u.Deleted || ok && (got.Version != u.Version || string(got.Value) != string(u.Value)) {
			t.Errorf("a client that resumed has %+.60v, and the server %+.60v", u, got)
		}
	}
	for key := range listed {
		if _, ok := m[key]; !ok {
			t.Errorf("a client that resumed misses %s", key)
		}
	}
}

// A server is killed again and again while clients write. Every answered write is there
// after each start, and nothing else but a whole write that had no answer yet. A client that
// resumes has the state of the server. A thousand kills:
//
//	go test ./cmd/rtdb -run KilledAgainAndAgain -v -timeout 30m -args -kills 1000
func TestAServerThatIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	times := *kills
	if transporttest.UnderRace || testing.Short() {
		times = min(times, 10)
	}
	const writers = 32
	dir, seed := t.TempDir(), time.Now().UnixNano()
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	l := &ledger{versions: map[uint64]bool{}, accounts: map[string]*account{}}
	all := make([]*killedWriter, writers)
	for n := range all {
		all[n] = &killedWriter{number: n, ledger: l, random: rand.New(rand.NewPCG(uint64(seed), uint64(n+1)))}
		for k := range 3 {
			l.accounts[fmt.Sprintf("k/%d/%d", n, k)] = &account{}
		}
	}
	state, f := mirror{}, follower{}
	unanswered, torn := 0, 0
	for round := range times {
		p := startKept(t, dir)
		if p.logged("store end cut off") {
			torn++
		}
		listed := p.list()
		unanswered += l.settle(t, listed)
		var follow *websocket.Conn
		var updates []string
		if round == 0 {
			follow, updates = f.follow(t, p, `{"action":"subscribe","pattern":"#","snapshot":true,"id":1}`)
		} else {
			follow, updates = f.resume(t, p)
		}
		for _, u := range updates {
			state.apply(t, []byte(u))
		}
		state.compare(t, listed)
		if t.Failed() {
			t.Fatalf("after %d kills, seed %d", round, seed)
		}

		l.answered, l.target, l.reached = 0, 1+random.IntN(1500), make(chan struct{})
		var running sync.WaitGroup
		for n, w := range all {
			if n%2 == 0 {
				running.Go(func() { w.overREST(t, p.url) })
			} else {
				c := dial(t, p)
				running.Go(func() { w.overWebSocket(t, c) })
			}
		}
		running.Go(func() {
			for {
				_, text, err := follow.ReadMessage()
				if err != nil {
					return
				}
				state.apply(t, text)
			}
		})
		select {
		case <-l.reached:
		case <-time.After(patience):
			t.Errorf("fewer than %d writes were answered", l.target)
		}
		p.kill()
		running.Wait()
	}
	p := startKept(t, dir)
	unanswered += l.settle(t, p.list())
	p.stop()
	t.Logf("%d kills, %d writes answered, %d without an answer are there, %d torn ends", times, len(l.versions), unanswered, torn)
}
