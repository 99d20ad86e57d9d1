package transport_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/auth"
)

// A device's old link is dead, and the device connects again. Its old will is written
// before the new session is answered, and not over what the new session writes.
func TestADeviceReconnectsBeforeItsOldSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	screen := w.dial(t)
	screen.wantCode(`{"action":"subscribe","key":"device/7","id":1}`, "")
	old := w.dial(t)
	old.wantCode(`{"action":"hello","client":"device-7","id":1}`, "")
	old.wantCode(`{"action":"will","key":"device/7","value":"offline","id":2}`, "")
	old.wantCode(`{"action":"set","key":"device/7","value":"online","id":3}`, "")
	screen.want(`{"key":"device/7","value":"online"}`)

	// Nobody reads the old connection any more, so no close frame is answered.
	start := time.Now()
	device := w.dial(t)
	device.send(`{"action":"hello","client":"device-7","id":1}`)
	device.send(`{"action":"set","key":"device/7","value":"online again"}`)
	got := device.receive()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("hello was answered after %v", took)
	}
	if !strings.HasPrefix(got, `{"id":1,"ok":true,"session":"`) || !strings.HasSuffix(got, `","epoch":"e"}`) {
		t.Errorf("hello is answered %s", got)
	}
	screen.want(`{"key":"device/7","value":"offline"}`, `{"key":"device/7","value":"online again"}`)

	closed := w.log.await(t, "session closed", 1)[0]
	if closed["client"] != "device-7" || closed["code"] != 4011.0 {
		t.Errorf("the log says %v", closed)
	}
	if _, text := w.call(t, "GET", "/sessions", ""); strings.Count(text, `"client":"device-7"`) != 1 {
		t.Errorf("the sessions are %s", text)
	}
	old.wantClose(4011)
}

// A client takes a name only from a client with the same token subject.
func TestANameBelongsToASubject(t *testing.T) {
	t.Parallel()
	anonymous := auth.Grants{Read: []string{"#"}}
	w := newWire(t, transport.Options{Keys: testKeys(t), Anonymous: &anonymous})
	as := func(subject string) *peer {
		if subject == "anonymous" {
			return w.dialAs(t, "")
		}
		signer, err := auth.SecretSigner(testSecret)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signer.Sign(subject, anonymous, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return w.dialAs(t, text)
	}
	var all []*peer
	for _, subject := range []string{"a", "b", "", "anonymous"} {
		p := as(subject)
		p.wantCode(`{"action":"hello","client":"x","id":1}`, "")
		all = append(all, p)
	}
	for _, p := range all {
		p.ask(`{"action":"ping"}`, `{"action":"pong"}`)
	}
	as("a").wantCode(`{"action":"hello","client":"x","id":1}`, "")
	all[0].wantClose(4011)
	as("anonymous").wantCode(`{"action":"hello","client":"x","id":1}`, "")
	all[3].wantClose(4011)
	for _, p := range all[1:3] {
		p.ask(`{"action":"ping"}`, `{"action":"pong"}`)
	}
	// A client that gives up its name by taking another one is not replaced.
	all[1].wantCode(`{"action":"hello","client":"y","id":2}`, "")
	as("b").wantCode(`{"action":"hello","client":"x","id":1}`, "")
	all[1].ask(`{"action":"ping"}`, `{"action":"pong"}`)
}

// Many sessions take one name at the same time. One of them is left, and each will is
// written before the next session is answered.
func TestManySessionsTakeOneName(t *testing.T) {
	w := newWire(t, transport.Options{})
	const n = 30
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			p := w.dial(t)
			p.send(fmt.Sprintf(`{"action":"will","key":"left/%d","value":true}`, i))
			p.send(`{"action":"hello","client":"one","id":1}`)
			for {
				_ = p.SetReadDeadline(time.Now().Add(patience))
				if _, _, err := p.ReadMessage(); err != nil {
					return
				}
			}
		})
	}
	w.log.await(t, "session closed", n-1)
	if left := w.Sessions(); left != 1 {
		t.Errorf("%d sessions are left", left)
	}
	page, err := w.keyspace.List(t.Context(), keyspace.Query{Limit: n})
	if err != nil || len(page.Entries) != n-1 {
		t.Errorf("%d wills were written, %v; want %d", len(page.Entries), err, n-1)
	}
	last := w.dial(t)
	last.wantCode(`{"action":"hello","client":"one","id":1}`, "")
	clients.Wait()
}

// Two sessions take one name in turn, with several requests under way each. Both end, and
// a third one gets the name.
func TestSessionsThatTakeANameInTurnDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{})
	for round := range 4 {
		var clients sync.WaitGroup
		for range 2 {
			p := w.dial(t)
			clients.Go(func() {
				for range 50 {
					if p.WriteMessage(websocket.TextMessage, []byte(`{"action":"hello","client":"one"}`)) != nil {
						return
					}
				}
			})
		}
		clients.Wait()
		w.log.await(t, "session closed", 3*round+1) // all but one, which has the name
		p := w.dial(t)
		p.wantCode(`{"action":"hello","client":"one","id":1}`, "")
		p.wantCode(`{"action":"hello","client":"one","id":1}`, "")
	}
}

// A session that authenticates as another subject gives up its name.
func TestAnotherSubjectGivesUpTheName(t *testing.T) {
	t.Parallel()
	w := newWire(t, transport.Options{Keys: testKeys(t)})
	signer := must(auth.SecretSigner(testSecret))
	as := func(subject string) string {
		return must(signer.Sign(subject, auth.Grants{Read: []string{"#"}}, time.Hour))
	}
	changed := w.dialAs(t, as("alice"))
	changed.wantCode(`{"action":"hello","client":"x","id":1}`, "")
	changed.wantCode(`{"action":"auth","token":"`+as("bob")+`","id":2}`, "")
	w.dialAs(t, as("alice")).wantCode(`{"action":"hello","client":"x","id":1}`, "")
	changed.ask(`{"action":"ping"}`, `{"action":"pong"}`)
	changed.wantCode(`{"action":"hello","client":"x","id":3}`, "")
	w.dialAs(t, as("bob")).wantCode(`{"action":"hello","client":"x","id":1}`, "")
	changed.wantClose(4011)
}
