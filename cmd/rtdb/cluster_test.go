package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"rtdb/keyspace/jetstream/natstest"
	"rtdb/transport/transporttest"
)

// startNode starts a node, and waits until it has loaded the state.
func startNode(t testing.TB, c *natstest.Cluster, name string, args ...string) *process {
	t.Helper()
	p := start(t, []string{"NATS_URL=" + c.URL()}, append([]string{"--node", name}, args...)...)
	p.await("state loaded", 1)
	return p
}

// awaitStatus waits until a request is answered with a status, and returns the answer.
func (p *process) awaitStatus(method, path, body string, want int) (answer string) {
	p.t.Helper()
	status := 0
	transporttest.Eventually(p.t, fmt.Sprintf("%s %s is answered with %d", method, path, want), func() bool {
		status, answer = p.call(method, path, body)
		return status == want
	})
	return answer
}

// awaitPeer waits until a node hears another one.
func (p *process) awaitPeer() {
	p.t.Helper()
	transporttest.Eventually(p.t, "the node hears another one", func() bool {
		_, metrics := p.call("GET", "/metrics", "")
		return strings.Contains(metrics, "\nrtdb_cluster_peers 1\n")
	})
}

// A write on one node reaches the clients of another, and a client of one resumes on another
// without a reset, also after kill -9.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a, b := startNode(t, c, "a"), startNode(t, c, "b")
	if epochs := [2]any{a.await("state loaded", 1)[0]["epoch"], b.await("state loaded", 1)[0]["epoch"]}; epochs[0] != epochs[1] {
		t.Errorf("the epochs are %v", epochs)
	}

	watching := dial(t, b)
	if err := watching.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","pattern":"k/#","id":1}`)); err != nil {
		t.Fatal(err)
	}
	receive(t, watching)
	first := versionOf(t, a.write("PUT", "/data/k/1", `{"value":{"n":1}}`, 200))
	if u := receive(t, watching); u != `{"key":"k/1","value":{"n":1}}` {
		t.Errorf("the other node's client gets %s", u)
	}
	// A condition holds, and a merge merges, although the node that decides it may be behind.
	if err := watching.WriteMessage(websocket.TextMessage, []byte(`{"action":"set","key":"k/1","value":2,"ifVersion":1,"id":2}`)); err != nil {
		t.Fatal(err)
	}
	if reply := receive(t, watching); !strings.Contains(reply, fmt.Sprintf(`"version":%d`, first)) || !strings.Contains(reply, `"error"`) {
		t.Errorf("a write with a condition that does not hold: %s", reply)
	}
	b.write("PATCH", "/data/k/1", `{"m":2}`, 200)
	transporttest.Eventually(t, "a merge on one node reaches the other", func() bool {
		_, got := a.call("GET", "/data/k/1", "")
		return strings.Contains(got, `"value":{"n":1,"m":2}`)
	})

	var client follower
	following, _ := client.follow(t, a, `{"action":"subscribe","pattern":"#","snapshot":true,"id":1}`)
	_ = following.Close()
	last := versionOf(t, a.write("PUT", "/data/k/2", `{"value":2}`, 200))
	a.kill()
	resumed, updates := client.resume(t, b)
	if len(updates) == 0 { // the node gets the write only now, so it comes behind the reply
		updates = append(updates, receive(t, resumed))
	}
	if len(updates) != 1 || versionOf(t, updates[0]) != last {
		t.Errorf("the client that resumes gets %q", updates)
	}
	b.write("DELETE", "/data/k/2", "", 204)
	a = startNode(t, c, "a")
	a.write("GET", "/data/k/2", "", 404)
	a.stop()
	b.stop()
	for _, e := range b.log() {
		if e["node"] != "b" {
			t.Errorf("a line of the log lacks the node: %v", e)
		}
	}
}

// A node that starts before NATS waits, says so, and can be stopped meanwhile.
func TestANodeThatStartsBeforeNATS(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	c.Server(0).Terminate()
	user := "me:" + url.PathEscape(testSecret)
	env := []string{"NATS_URL=" + strings.Replace(c.URL(), "//", "//"+user+"@", 1)}
	given := start(t, env)
	given.await("waiting for the cluster", 1)
	given.stop()

	p := start(t, env)
	reason := p.await("waiting for the cluster", 1)[0]["reason"].(string)
	if !strings.Contains(reason, "not connected to NATS") {
		t.Errorf("it waits because %s", reason)
	}
	p.write("GET", "/healthz", "", 200)
	if got := p.write("GET", "/readyz", "", 503); !strings.HasPrefix(got, `{"status":"loading"`) || !strings.Contains(got, "not connected to NATS") {
		t.Errorf("/readyz: %s", got)
	}
	p.write("GET", "/metrics", "", 200)
	c.Server(0).Restart()
	p.await("state loaded", 1)
	p.write("GET", "/readyz", "", 200)
	p.write("PUT", "/data/k", `{"value":1}`, 200)
	p.stop()
	for _, line := range p.lines { // transporttest.CheckEvents looks for the password as it is
		if strings.Contains(line, user) {
			t.Errorf("a password in the log: %s", line)
		}
	}
}

// While NATS is down, a node refuses writes, is not ready, says so, and answers reads. Later
// it goes on by itself.
func TestNATSEndsAndComesBack(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	p := startNode(t, c, "a")
	p.write("PUT", "/data/k", `{"value":1}`, 200)
	var client follower
	following, _ := client.follow(t, p, `{"action":"subscribe","pattern":"#","snapshot":true,"id":1}`)
	c.Server(0).Terminate()
	if notice := receive(t, following); !strings.HasPrefix(notice, `{"action":"stale","since_ms":`) {
		t.Errorf("the client gets %s", notice)
	}
	if got := p.write("PUT", "/data/k", `{"value":2}`, 503); !strings.Contains(got, "the write was not made") {
		t.Errorf("a write: %s", got)
	}
	if got := p.write("GET", "/readyz", "", 503); !strings.HasPrefix(got, `{"status":"not ready"`) || strings.Contains(got, "jetstream:") {
		t.Errorf("/readyz: %s", got)
	}
	p.write("GET", "/healthz", "", 200)
	p.write("GET", "/data/k", "", 200)
	p.await("cluster lost", 1)
	p.await("cluster behind", 1)
	if got := p.write("GET", "/metrics", "", 200); !strings.Contains(got, "\nrtdb_cluster_ready 0\n") || !strings.Contains(got, "\nrtdb_cluster_connected 0\n") {
		t.Error("the metrics do not say that the node is cut off")
	}
	c.Server(0).Restart()
	if notice := receive(t, following); notice != `{"action":"fresh"}` {
		t.Errorf("the client gets %s", notice)
	}
	p.write("GET", "/readyz", "", 200)
	p.write("PUT", "/data/k", `{"value":3}`, 200)
	if u := receive(t, following); !strings.Contains(u, `"value":3`) {
		t.Errorf("the client gets %s", u)
	}
	p.await("cluster connected", 2)
	p.await("cluster caught up", 1)
	p.stop()
}

// A stream with settings that would break the contract is refused, and the log says what to
// do.
func TestAStreamWithOtherSettings(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	js, err := natsjs.New(c.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "rtdb", Subjects: []string{"rtdb.k.>"}}); err != nil {
		t.Fatal(err)
	}
	errs := refusedStart(t, "NATS_URL="+c.URL())
	for _, want := range []string{`"message":"state not loaded"`, "subjects is [rtdb.k.>], must be", "nats stream edit rtdb", "--nats-stream"} {
		if !strings.Contains(errs, want) {
			t.Errorf("the log lacks %q: %s", want, errs)
		}
	}
	p := startNode(t, c, "a", "--nats-stream", "other")
	p.write("PUT", "/data/k", `{"value":1}`, 200)
	p.stop()
}

// refusedStart starts a node that ends with exit status 1, and returns its log.
func refusedStart(t *testing.T, env ...string) (log string) {
	t.Helper()
	_, errs, status := runToEnd(t, env, "--port", "0")
	if status != exitFailure || strings.Count(errs, `"message":"state not loaded"`) != 1 {
		t.Errorf("exit status %d with\n%s", status, errs)
	}
	transporttest.CheckEvents(t, operatorManual, strings.Split(strings.TrimSpace(errs), "\n"))
	return errs
}

// A stream that is deleted while nodes run ends them, because their state is worth nothing
// any more.
func TestAStreamThatIsDeleted(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	p := startNode(t, c, "a")
	js, err := natsjs.New(c.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "rtdb"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "rtdb", Subjects: []string{"rtdb.>"}}); err != nil {
		t.Fatal(err)
	}
	_ = p.wait()
	if got := p.cmd.ProcessState.ExitCode(); got != exitStoreFailed {
		t.Errorf("exit status %d, want %d", got, exitStoreFailed)
	}
	if e := p.await("store failed", 1)[0]; !strings.Contains(e["error"].(string), "made anew") {
		t.Errorf("logged %v", e)
	}
}

// A nodeWriter writes numbers that rise to a key of its own, on nodes that come and go.
type nodeWriter struct {
	key      string
	nodes    func() []string // URLs
	answered int             // the highest number that was answered
	failures int
}

// write writes until done is closed. Each number is tried until it is answered.
func (w *nodeWriter) write(t *testing.T, done <-chan struct{}) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for n, turn := 1, 0; ; turn++ {
		select {
		case <-done:
			return
		default:
		}
		nodes := w.nodes()
		node := nodes[turn%len(nodes)]
		r, err := http.NewRequest("PUT", node+"/data/"+w.key, strings.NewReader(fmt.Sprintf(`{"value":%d}`, n)))
		if err != nil {
			t.Error(err)
			return
		}
		answer, err := client.Do(r)
		if err != nil {
			w.failures++
			continue
		}
		_ = answer.Body.Close()
		switch answer.StatusCode {
		case 200:
			w.answered = n
			n++
		case 503:
			w.failures++
		default:
			t.Errorf("PUT %s: %s", w.key, answer.Status)
			return
		}
	}
}

// A client that says hello on another node takes over from its older session, whose will is
// written before the reply. A message of a topic reaches the subscribers of both nodes.
func TestAClientThatMoves(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	a, b := startNode(t, c, "a"), startNode(t, c, "b")
	a.awaitPeer()
	b.awaitPeer()
	ask := func(c *websocket.Conn, request, want string) {
		t.Helper()
		if err := c.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
			t.Fatal(err)
		}
		if reply := receive(t, c); !strings.Contains(reply, want) {
			t.Errorf("%s: %s, want %s", request, reply, want)
		}
	}
	older, newer := dialV1(t, a), dialV1(t, b)
	ask(older, `{"action":"hello","client":"c","id":1}`, `"ok":true`)
	ask(older, `{"action":"will","key":"will","value":1,"id":2}`, `"ok":true`)
	ask(older, `{"action":"subscribe","topic":"t","id":3}`, `"ok":true`)
	ask(newer, `{"action":"subscribe","topic":"t","id":1}`, `"ok":true`)
	received := make(chan string, 1)
	go func() {
		_, message, _ := older.ReadMessage()
		received <- string(message)
	}()
	transporttest.Eventually(t, "a message reaches the other node", func() bool {
		b.write("POST", "/topics/t", `{"value":"m"}`, 202)
		select {
		case message := <-received:
			return strings.Contains(message, `"topic":"t"`)
		default:
			return false
		}
	})
	again := dialV1(t, b)
	ask(again, `{"action":"hello","client":"c","id":2}`, `"ok":true`)
	b.write("GET", "/data/will", "", 200)
	for {
		_, _, err := older.ReadMessage()
		if err == nil {
			continue // a message
		}
		if !websocket.IsCloseError(err, 4011) {
			t.Errorf("the older session ends with %v, want 4011", err)
		}
		break
	}
	a.stop()
	b.stop()
}

// Nodes and NATS servers are restarted one by one while clients write: no answered write is
// lost. This is the upgrade of the manual. The nodes know one of the servers; they learn of
// the others, and use the same user there.
func TestARollingUpgrade(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{
		Servers: 3, Config: "authorization { user: rtdb, password: secret }",
		Connect: []nats.Option{nats.UserInfo("rtdb", "secret")},
	})
	startNode := func(name string) *process {
		p := start(t, []string{"NATS_URL=nats://rtdb:secret@" + c.Server(0).Addr(), "NATS_REPLICAS=3"}, "--node", name)
		p.await("state loaded", 1)
		return p
	}
	var mu sync.Mutex
	nodes := map[string]*process{}
	for _, name := range []string{"a", "b", "c"} {
		nodes[name] = startNode(name)
	}
	urls := func() (all []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range nodes {
			all = append(all, p.url)
		}
		return all
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	writers := make([]*nodeWriter, 8)
	for i := range writers {
		w := &nodeWriter{key: fmt.Sprint("w/", i), nodes: urls}
		writers[i] = w
		running.Go(func() { w.write(t, done) })
	}
	js, err := natsjs.New(c.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, name := range []string{"a", "b", "c"} {
		mu.Lock()
		old := nodes[name]
		delete(nodes, name)
		mu.Unlock()
		if name == "c" {
			old.kill() // a node that crashes loses no more
		} else {
			old.stop()
		}
		p := startNode(name)
		p.awaitStatus("GET", "/readyz", "", 200)
		mu.Lock()
		nodes[name] = p
		mu.Unlock()
	}
	for i := range c.Servers() {
		c.Server(i).Restart()
		transporttest.Eventually(t, "all replicas are current", func() bool {
			stream, err := js.Stream(t.Context(), "rtdb")
			if err != nil {
				return false
			}
			current := 0
			for _, r := range stream.CachedInfo().Cluster.Replicas {
				if r.Current && !r.Offline {
					current++
				}
			}
			return current == 2
		})
		for _, p := range nodes {
			p.awaitStatus("GET", "/readyz", "", 200)
		}
	}
	took := time.Since(began)
	close(done)
	running.Wait()

	answered, failures := 0, 0
	for _, w := range writers {
		answered += w.answered
		failures += w.failures
	}
	for name, p := range nodes {
		for _, w := range writers {
			lost := true
			transporttest.Eventually(t, name+" has the writes to "+w.key, func() bool {
				var item struct{ Value int }
				_, text := p.call("GET", "/data/"+w.key, "")
				_ = json.Unmarshal([]byte(text), &item)
				lost = item.Value < w.answered
				return !lost
			})
		}
		p.stop()
	}
	if answered < 100 {
		t.Errorf("only %d writes were answered", answered)
	}
	t.Logf("%d writes were answered within %v, none is lost; %d attempts failed and were made again", answered, took, failures)
}

// A NATS server that is too old, or whose messages are too short, is refused.
func TestNATSServersThatAreNotGoodEnough(t *testing.T) {
	t.Parallel()
	errs := refusedStart(t, "NATS_URL="+oldNATSServer(t))
	if want := `the NATS server has the version \"2.10.4\", want 2.15 or later: upgrade it`; !strings.Contains(errs, want) {
		t.Errorf("the log lacks %s: %s", want, errs)
	}
	c := natstest.Start(t, natstest.Options{Config: "max_payload: 60000"})
	errs = refusedStart(t, "NATS_URL="+c.URL())
	if want := "max_payload of the NATS server is 60000 bytes, which is too little for values of 65536 bytes: raise it"; !strings.Contains(errs, want) {
		t.Errorf("the log lacks %s: %s", want, errs)
	}
}

// oldNATSServer serves as much of the protocol of NATS as a client needs to learn the version.
func oldNATSServer(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				_, _ = fmt.Fprint(c, `INFO {"server_name":"old","version":"2.10.4","proto":1,"headers":true,"max_payload":1048576}`+"\r\n")
				lines := bufio.NewScanner(c)
				for lines.Scan() { // until the client has ended
					if lines.Text() == "PING" {
						_, _ = fmt.Fprint(c, "PONG\r\n")
					}
				}
			})
		}
	})
	return "nats://" + l.Addr().String()
}
