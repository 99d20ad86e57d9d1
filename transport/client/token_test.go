package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/client"
)

// A mint gives tokens: "t1", "t2" and so on.
type mint struct {
	mu    sync.Mutex
	asked []time.Time
	err   error
	same  bool // give the last token again
	n     int
}

func (m *mint) token(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, time.Now())
	if m.err != nil {
		return "", m.err
	}
	if !m.same {
		m.n++
	}
	return fmt.Sprintf("t%d", m.n), nil
}

func (m *mint) set(err error, same bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err, m.same = err, same
}

func (m *mint) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

// Each attempt to connect asks for a token, and sends it in the header alone.
func TestTokens(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		f.mustDial(client.WithToken(m.token))
		for range 3 {
			f.last().cut()
			time.Sleep(10 * time.Second)
		}
		f.last()
		for i, h := range f.headers {
			if got, want := h.Get("Authorization"), fmt.Sprintf("Bearer t%d", i+1); got != want {
				t.Errorf("attempt %d has the header %q, want %q", i, got, want)
			}
			if strings.Contains(f.urls[i]+h.Get("Sec-WebSocket-Protocol"), "t1") {
				t.Errorf("attempt %d: %s, %v", i, f.urls[i], h)
			}
		}
		if len(f.headers) != 4 || m.count() != 4 {
			t.Errorf("%d attempts, asked for %d tokens", len(f.headers), m.count())
		}
	})
}

// An error of the token function passes, unless it is ErrUnauthorized.
func TestTokenErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		m := mint{err: errors.New("the identity provider is down")}
		var states diary
		time.AfterFunc(30*time.Second, func() { m.set(nil, false) })
		c := f.mustDial(client.WithToken(m.token), client.OnState(states.note))
		if n, err := states.count(client.Waiting); n < 3 || !strings.Contains(fmt.Sprint(err), "provider is down") {
			t.Errorf("%d, %v", n, err)
		}
		m.set(fmt.Errorf("signed out: %w", client.ErrUnauthorized), false)
		watch := pull(t, client.Watch[int](t.Context(), c, "a"))
		f.last().cut()
		if err := watch.fails(); !errors.Is(err, client.ErrUnauthorized) || !strings.Contains(err.Error(), "signed out") {
			t.Errorf("the watch ends with %v", err)
		}
		asked := m.count()
		time.Sleep(time.Hour)
		if m.count() != asked {
			t.Error("the client goes on")
		}
	})
	inBubble(t, func(t *testing.T, f *fake) {
		m := mint{err: client.ErrUnauthorized}
		if _, err := f.dial(client.WithToken(m.token)); !errors.Is(err, client.ErrUnauthorized) || len(f.attempts()) != 0 {
			t.Errorf("Dial: %v", err)
		}
	})
}

// A token that the server refuses is final when the function gives no other one.
func TestRefusedTokens(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		var states diary
		f.mustDial(client.WithToken(m.token), client.OnState(states.note))
		f.set(func() {
			f.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") == "Bearer t6" {
					return false
				}
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"error":{"code":"unauthorized","message":"the token has expired"}}`)
				return true
			}
		})
		f.last().cut()
		for len(f.peers()) == 1 { // t2 to t5 are refused
			time.Sleep(time.Second)
		}
		m.set(nil, true)
		f.set(func() {
			f.refuse = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusUnauthorized); return true }
		})
		before := len(f.attempts())
		f.last().cut()
		time.Sleep(time.Hour)
		if n, err := states.count(client.Closed); n != 1 || !errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("%d, %v", n, err)
		}
		if n := len(f.attempts()) - before; n != 5 {
			t.Errorf("%d attempts with the same token", n)
		}
	})
}

// At the server's warning a new token is sent over the connection.
func TestRenewal(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		f.mustDial(client.WithToken(m.token), client.WithName("n"))
		warn := func(seconds int) { f.last().send(fmt.Sprintf(`{"action":"auth","expires_in":%d}`, seconds)) }
		time.Sleep(time.Minute)
		warn(30)
		if got := f.requests("auth"); len(got) != 1 || got[0].Token != "t2" {
			t.Fatalf("after a warning: %v", got)
		}
		if n := len(f.requests("hello")); n != 2 { // a token of another subject loses the name
			t.Errorf("%d hellos", n)
		}

		// While the function fails, or gives the same token, the client asks it again, but seldom.
		time.Sleep(time.Minute)
		m.set(errors.New("down"), false)
		asked := m.count()
		warn(30)
		time.Sleep(12 * time.Second)
		m.set(nil, true)
		time.Sleep(10 * time.Second)
		if n := m.count() - asked; n < 3 || n > 8 {
			t.Errorf("the function was asked %d times in 22 s", n)
		}
		if n := len(f.requests("auth")); n != 1 {
			t.Errorf("%d tokens were sent", n)
		}
		m.set(nil, false)
		time.Sleep(11 * time.Second)
		if got := f.requests("auth"); len(got) != 2 || got[1].Token != "t3" {
			t.Errorf("in the end: %v", got)
		}

		// A server may refuse the new token.
		time.Sleep(time.Minute)
		f.set(func() {
			f.handle = func(p *peer, r request) bool {
				if r.Token == "t4" {
					p.fail(r, "unauthorized")
				}
				return r.Token == "t4"
			}
		})
		warn(30)
		time.Sleep(10 * time.Second)
		if got := f.requests("auth"); len(got) != 4 || got[3].Token != "t5" {
			t.Errorf("after a refusal: %v", got)
		}
		if n := len(f.peers()); n != 1 {
			t.Errorf("%d connections", n)
		}

		// ErrUnauthorized is final here, too.
		m.set(client.ErrUnauthorized, false)
		warn(30)
		time.Sleep(time.Minute)
		if f.last().ended() == nil {
			t.Error("the connection goes on")
		}
	})
}

// Tokens that live shorter than the server's warning are renewed when half of their time
// is over, and not at once and again.
func TestShortTokens(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		warn := func(p *peer) { p.send(`{"action":"auth","expires_in":20}`) }
		f.handle = func(p *peer, r request) bool {
			if r.Action == "auth" {
				p.reply(r, "")
				warn(p)
			}
			return r.Action == "auth"
		}
		f.mustDial(client.WithToken(m.token))
		warn(f.last())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := m.count(); n < 50 || n > 65 {
			t.Errorf("%d tokens in 10 minutes", n)
		}
		if n := len(f.peers()); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}
