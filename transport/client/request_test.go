package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/client"
)

// ignore lets the fake leave requests with an action unanswered.
func ignore(actions ...string) func(*peer, request) bool {
	return func(_ *peer, r request) bool {
		for _, a := range actions {
			if r.Action == a {
				return true
			}
		}
		return false
	}
}

// An outcome is the error of a call, and how long it took.
type outcome struct {
	err  error
	took time.Duration
}

// begin makes a call on a goroutine of its own.
func begin(call func() error) chan outcome {
	done, began := make(chan outcome, 1), time.Now()
	go func() {
		err := call()
		done <- outcome{err, time.Since(began)}
	}()
	return done
}

func set(ctx context.Context, c *client.Client, key string) chan outcome {
	return begin(func() error { _, err := client.Set(ctx, c, key, 1); return err })
}

// ready waits until a client is connected.
func ready(c *client.Client) error {
	for {
		if s, _ := c.State(); s == client.Open {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// A write that was sent when the connection is lost has an unknown outcome, and is not
// sent again. A read is.
func TestALostConnectionAndItsRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.handle = ignore("set", "get", "publish", "delete")
		c := f.mustDial()
		write := set(t.Context(), c, "a")
		message := begin(func() error { return client.Publish(t.Context(), c, "chat", 1) })
		remove := begin(func() error { _, err := client.Delete(t.Context(), c, "a"); return err })
		value := make(chan int, 1)
		get := begin(func() error {
			e, _, err := client.Get[int](t.Context(), c, "a")
			value <- e.Value
			return err
		})
		f.last()
		f.set(func() {
			f.handle = func(p *peer, r request) bool {
				if r.Action != "get" {
					return false
				}
				p.reply(r, `"key":"a","value":7,"version":5`)
				return true
			}
		})
		f.last().cut()
		for name, done := range map[string]chan outcome{"set": write, "publish": message, "delete": remove} {
			if got := <-done; !errors.Is(got.err, client.ErrUnknownOutcome) {
				t.Errorf("%s: %v", name, got.err)
			}
			if n := len(f.requests(name)); n != 1 {
				t.Errorf("%s was sent %d times", name, n)
			}
		}
		if got := <-get; got.err != nil || <-value != 7 || len(f.requests("get")) != 2 {
			t.Errorf("get: %v, sent %d times", got.err, len(f.requests("get")))
		}
	})
}

// Without a connection a request waits until the write timeout, and a message does not.
func TestRequestsWithoutAConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		offline := func() {
			f.set(func() { f.dialing = func(context.Context) error { return errors.New("connection refused") } })
			f.last().cut()
			synctest.Wait()
		}
		offline()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		canceled, late := set(ctx, c, "canceled"), set(t.Context(), c, "late")
		read := begin(func() error { _, _, err := client.Get[int](t.Context(), c, "a"); return err })
		if got := <-begin(func() error { return client.Publish(t.Context(), c, "chat", 1) }); !errors.Is(got.err, client.ErrOffline) ||
			got.took != 0 || !strings.Contains(got.err.Error(), "lost") {
			t.Errorf("publish: %+v", got)
		}
		if got := <-canceled; !errors.Is(got.err, context.DeadlineExceeded) || errors.Is(got.err, client.ErrUnknownOutcome) || got.took != 3*time.Second {
			t.Errorf("a write whose context ends: %+v", got)
		}
		for name, done := range map[string]chan outcome{"set": late, "get": read} {
			if got := <-done; !errors.Is(got.err, client.ErrOffline) || got.took != 10*time.Second || !strings.Contains(got.err.Error(), "connection refused") {
				t.Errorf("%s: %+v", name, got)
			}
		}

		// Only the requests that still wait are sent when the connection is back.
		f.set(func() { f.dialing = nil })
		if got := <-begin(func() error { return ready(c) }); got.took > 20*time.Second {
			t.Errorf("the client is connected after %v", got.took)
		}
		time.Sleep(6 * time.Second) // resets the back-off
		f.last().cut()
		synctest.Wait()
		if got := <-set(t.Context(), c, "waiting"); got.err != nil || got.took == 0 || got.took > time.Second {
			t.Errorf("a write that waited: %+v", got)
		}
		for _, r := range f.requests("set") {
			if r.Key != "waiting" {
				t.Errorf("%s was sent", r.Key)
			}
		}
		if n := len(f.requests("publish")) + len(f.requests("get")); n != 0 {
			t.Errorf("%d requests were sent later", n)
		}
	})
}

// A context that ends after the write was sent leaves its outcome unknown. The reply that
// comes later does no harm.
func TestAContextEndsAfterTheRequestWasSent(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var held request
		f.handle = func(_ *peer, r request) bool {
			if r.Key == "held" {
				held = r
			}
			return r.Key == "held"
		}
		c := f.mustDial()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if got := <-set(ctx, c, "held"); !errors.Is(got.err, client.ErrUnknownOutcome) || !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("set: %+v", got)
		}
		f.last().reply(held, `"version":1`)
		if got := <-set(t.Context(), c, "a"); got.err != nil {
			t.Errorf("the next set: %+v", got)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if got := <-set(ctx, c, "b"); !errors.Is(got.err, context.Canceled) || len(f.requests("set")) != 2 {
			t.Errorf("a set with a context that has ended: %+v", got)
		}
	})
}

// Whatever the server answers, each call returns.
func TestServersThatAnswerWrongly(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(p *peer, r request)
		atMost time.Duration
	}{
		"nothing, but pongs":   {func(*peer, request) {}, 26 * time.Second},
		"no JSON":              {func(p *peer, _ request) { p.send("{") }, 0},
		"another type":         {func(p *peer, r request) { p.send(fmt.Sprintf(`{"id":%s,"version":"one"}`, r.ID)) }, 0},
		"a binary message":     {func(p *peer, _ request) { _ = p.conn.Write(context.Background(), 2, []byte{1}) }, 0},
		"a later request":      {func(p *peer, _ request) { p.send(`{"id":99999,"ok":true}`) }, 26 * time.Second},
		"an id that is a text": {func(p *peer, _ request) { p.send(`{"id":"one","ok":true}`) }, 26 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fake) {
				f.handle = func(p *peer, r request) bool {
					if r.Action == "set" {
						c.answer(p, r)
					}
					return r.Action == "set"
				}
				cl := f.mustDial()
				if got := <-set(t.Context(), cl, "a"); !errors.Is(got.err, client.ErrUnknownOutcome) || got.took > c.atMost {
					t.Errorf("set: %+v", got)
				}
				f.set(func() { f.handle = nil })
				if got := <-set(t.Context(), cl, "b"); got.err != nil {
					t.Errorf("set after the server is right again: %+v", got)
				}
			})
		})
	}
}

// Many writers at a time get their own replies, in the order in which they were sent.
func TestManyRequestsAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		n := 0
		f.handle = func(p *peer, r request) bool {
			if r.Action == "set" {
				n++
				p.reply(r, fmt.Sprintf(`"version":%s`, strings.TrimPrefix(r.Key, "k")))
			}
			return r.Action == "set"
		}
		c := f.mustDial()
		done := make(chan error)
		for i := range 500 {
			go func() {
				version, err := client.Set(t.Context(), c, fmt.Sprintf("k%d", i+1), 1)
				if err == nil && version != uint64(i+1) {
					err = fmt.Errorf("write %d got version %d", i+1, version)
				}
				done <- err
			}()
		}
		for range 500 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Close tells the server that the client leaves on purpose, and settles all requests.
func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.handle = ignore("set")
		c := f.mustDial()
		sent := set(t.Context(), c, "a")
		p := f.last()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-sent; !errors.Is(got.err, client.ErrUnknownOutcome) || !errors.Is(got.err, client.ErrClosed) {
			t.Errorf("a write that was sent: %+v", got)
		}
		if err := p.ended(); !strings.Contains(fmt.Sprint(err), "StatusNormalClosure") {
			t.Errorf("the server saw %v", err)
		}
		for range 2 {
			if got := <-set(t.Context(), c, "b"); !errors.Is(got.err, client.ErrClosed) || got.took != 0 {
				t.Errorf("a write after Close: %+v", got)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if state, err := c.State(); state != client.Closed || !errors.Is(err, client.ErrClosed) {
			t.Errorf("the state is %v, %v", state, err)
		}
	})
	inBubble(t, func(t *testing.T, f *fake) { // while the client waits to connect
		c := f.mustDial()
		f.set(func() { f.dialing = func(context.Context) error { return errors.New("connection refused") } })
		f.last().cut()
		synctest.Wait()
		waits := set(t.Context(), c, "a")
		synctest.Wait()
		began := time.Now()
		_ = c.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if got := <-waits; !errors.Is(got.err, client.ErrClosed) || errors.Is(got.err, client.ErrUnknownOutcome) {
			t.Errorf("a write that waited: %+v", got)
		}
	})
}
