package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/transporttest"
)

// dial opens a WebSocket of a client and sends messages.
func dial(t *testing.T, s *transporttest.Server, messages ...string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, m := range messages {
		if err := c.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// next reads a message of a client.
func next(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, m, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(m)
}

// Messages are published as they are typed. Topics are followed by name and by pattern, with
// a pause and a bound. The operator sees the topics that have subscribers.
func testConsoleTopics(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	c := dial(t, s, `{"action":"subscribe","topic":"chat/1","id":1}`)
	next(t, c)
	p := openConsole(t, browser, s.URL(), "#/topics")
	p.sees(".topics li", "chat/1")
	p.write(`input[aria-label="Topic to publish to"]`, "chat/1")
	p.write("json-editor textarea", `{"n":12345678901234567890}`)
	p.click("button", "Publish")
	p.sees(".problem", "published")
	if got := next(t, c); got != `{"topic":"chat/1","value":{"n":12345678901234567890}}` {
		t.Errorf("the subscriber got %s", got)
	}
	p.write(`input[aria-label="Topic to publish to"]`, "chat/+")
	p.sees(".problem.wrong", "no +")

	publish := func(topic, value string) {
		t.Helper()
		if err := s.Keyspace.Publish(t.Context(), topic, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	// A message that is published before the subscription is never seen, so publish until one
	// is.
	follow := func(target, topic string) {
		t.Helper()
		p.write("topic-tail input", target)
		p.press("Enter")
		transporttest.Eventually(t, "a message of "+topic, func() bool {
			publish(topic, `"probe"`)
			return strings.Contains(p.text(".messages"), topic)
		})
	}
	follow("chat/1", "chat/1")
	p.click("button", "Clear")
	publish("chat/2", `"not seen"`)
	publish("chat/1", `"seen"`)
	p.sees(".messages li", `"seen"`)
	if got := p.text(".messages"); strings.Contains(got, "not seen") {
		t.Errorf("the messages are %s", got)
	}
	follow("chat/#", "chat/2")

	p.click("topic-tail button", "Pause")
	p.click("button", "Clear")
	for i := range 700 {
		publish("chat/3", fmt.Sprint(i))
	}
	p.sees("topic-tail button", "new)")
	p.Await(`document.querySelectorAll(".messages li").length === 0`)
	p.click("topic-tail button", "Resume")
	p.sees(".messages li", "699")
	p.Await(`document.querySelectorAll(".messages li").length === 500`)
	p.click("topic-tail button", "Stop")
	transporttest.Eventually(t, "the end of the subscription", func() bool { return subscriptions(t, s) == 1 }) // that of c
}

// subscriptions returns how many subscriptions the sessions of a server have.
func subscriptions(t *testing.T, s *transporttest.Server) (sum int) {
	t.Helper()
	_, body := get(t, "GET", s.URL()+"/sessions")
	var list struct{ Sessions []struct{ Subscriptions int } }
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	for _, session := range list.Sessions {
		sum += session.Subscriptions
	}
	return sum
}

// Keys are deleted by a pattern after they were counted and the user has agreed.
func testConsoleDelete(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true})
	fill := func(format string, n int) {
		t.Helper()
		var changes []keyspace.KeyedChange
		for i := range n {
			changes = append(changes, keyspace.KeyedChange{Key: fmt.Sprintf(format, i), Change: keyspace.Change{Value: []byte("1")}})
		}
		s.Keyspace.WriteAll(t.Context(), changes)
	}
	fill("many/%d", 10_010) // more than the server sums up
	fill("old/%d/x", 2500)
	set(t, s, "old/1/y", "1", "old", "1", "many", "1")
	p := openConsole(t, browser, s.URL(), "#/delete")
	p.write("delete-page input", "old/#/x")
	p.sees(".problem.wrong", "last level")
	p.write("delete-page input", "many/#")
	p.press("Enter")
	p.sees("delete-page .problem", "10,011 keys match")
	p.write("delete-page input", "old/+/x")
	p.press("Enter")
	p.sees("delete-page .problem", "2,500 keys match")
	p.click("button.danger", "Delete 2,500 keys")
	p.sees("dialog", "old/+/x")
	p.sees("dialog h2", "Delete 2,500 keys?")
	p.click("dialog button", "Cancel")
	p.click("button.danger", "Delete 2,500 keys")
	p.click("dialog button.danger", "Delete")
	p.sees("delete-page .problem", "2,500 keys deleted")
	if got := s.Keyspace.Keys(); got != 10_013 {
		t.Errorf("%d keys are left, want 10,013", got)
	}
	// A delete that is canceled says how far it came.
	fill("old/%d/x", 2500)
	p.click("button", "Count")
	p.Run(`late = fetch; calls = 0; fetch = (url, options) => options.method === "DELETE" && ++calls > 2
		? new Promise((_, fail) => options.signal.addEventListener("abort", () => fail(options.signal.reason))) : late(url, options); ""`, nil)
	p.click("button.danger", "Delete 2,500 keys")
	p.click("dialog button.danger", "Delete")
	p.sees("delete-page .problem", "2,000 keys deleted")
	p.click("button", "Cancel")
	p.sees("delete-page .problem", "canceled: 2,000 keys deleted")
	if got := s.Keyspace.Keys(); got != 10_513 {
		t.Errorf("%d keys are left, want 10,513", got)
	}
}

// The session that lags most comes first, with its waiting bytes. The operator ends it, and
// sees why sessions ended.
func testConsoleSessions(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true, Node: "node-a"})
	slow := dial(t, s, `{"action":"hello","client":"slow-screen","id":1}`, `{"action":"subscribe","pattern":"#","id":2}`)
	next(t, slow)
	next(t, slow)
	// It reads nothing more, so its updates wait.
	large := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for i := range 400 {
		if _, err := s.Keyspace.Set(t.Context(), fmt.Sprintf("k/%d", i), large); err != nil {
			t.Fatal(err)
		}
	}
	p := openConsole(t, browser, s.URL(), "#/sessions")
	p.sees("table.sessions tbody tr:first-child", "slow-screen")
	p.sees("sessions-page .summary", "node node-a: 2 sessions")
	p.sees("tr.lags", "slow-screen")
	p.sees("tr.lags td[data-label=Lag]", "since")
	p.sees(`tr.lags td[data-label="Waiting bytes"]`, "MiB")
	p.click("tr.lags button", "End…")
	p.sees("dialog", "slow-screen")
	p.click("dialog button.danger", "End session")
	for err := error(nil); err == nil; { // it takes the waiting updates, and then the close frame
		_, _, err = slow.ReadMessage()
	}
	p.sees("table.ends tbody tr", "kicked")
	p.sees("table.ends tbody tr", "+1")
	p.lacks("table.sessions", "slow-screen")
}

// Charts of the metrics move while the page is visible.
func testConsoleServer(t *testing.T, browser *transporttest.Chromium) {
	s := transporttest.NewServer(t, transport.Options{Console: true, Node: "node-a"})
	c := dial(t, s, `{"action":"subscribe","pattern":"#","id":1}`)
	next(t, c)
	p := openConsole(t, browser, s.URL(), "#/server")
	card := func(title, text string) { // waits until a card has a number that matches
		t.Helper()
		p.Await(find(".card", title) + ` !== undefined && ` + text + `.test(` + find(".card", title) + `.querySelector("strong").textContent)`)
	}
	p.sees("server-page h2", "Server: node node-a")
	card("Memory", `/^[0-9.]+ [MG]iB$/`)
	card("Sessions", `/^2$/`)
	for i := range 200 {
		if err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"action":"set","key":"k","value":%d}`, i)); err != nil {
			t.Fatal(err)
		}
		next(t, c)
	}
	card("Writes", `/^[0-9.]+\/s$/`)
	p.Await(`[...` + find(".card", "Writes") + `.querySelectorAll("path")].some(e => e.getAttribute("d").includes("L"))`)
	card("Keys", `/^1$/`)
	p.Await(`/p99: [0-9.]+ (µs|ms) last/.test(` + find(".card", "p99") + `.querySelector("svg")?.getAttribute("aria-label"))`)
	card("Deliveries", `/^[0-9.]+\/s$/`)
}
