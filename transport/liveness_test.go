package transport_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/keyspace"
	"rtdb/transport"
)

func TestAClientThatAnswersPingsStays(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		pings := 0
		start := time.Now()
		c.SetPingHandler(func(data string) error {
			pings++
			if want := time.Duration(pings) * transport.PingInterval; time.Since(start) != want {
				t.Errorf("ping %d after %v, want %v", pings, time.Since(start), want)
			}
			return c.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		go func() {
			time.Sleep(10*time.Minute + time.Second)
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		}()
		code, after := closing(c)
		if code != 1000 || after != 10*time.Minute+time.Second || pings != 24 {
			t.Errorf("ended with %d after %v and %d pings, want 1000 by the client, after 24", code, after, pings)
		}
		synctest.Wait()
	})
}

func TestAClientThatAnswersNoPingIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		c.SetPingHandler(func(string) error { return nil })
		code, after := closing(c)
		if want := transport.PingInterval + transport.PongTimeout; code != 1008 || after != want {
			t.Errorf("ended with %d after %v, want 1008 after %v", code, after, want)
		}
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["code"] != 1008.0 || e[0]["reason"] != "no pong in time" {
			t.Errorf("logged %v", e)
		}
		_ = c.Close()
	})
}

// A pong that the server has not read yet is not missing: the reader is busy with
// earlier requests.
func TestAPongBehindSlowWritesCounts(t *testing.T) {
	for name, test := range map[string]struct {
		writes int
		each   time.Duration
	}{
		"one write of 30 s":       {1, 30 * time.Second},
		"200 writes of 100 ms":    {200, 100 * time.Millisecond},
		"ten writes of 2 seconds": {10, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *piped) {
				p.store.hold(func(keyspace.Record) { time.Sleep(test.each) })
				c := p.dial(t)
				var sender sync.WaitGroup
				sender.Go(func() {
					time.Sleep(transport.PingInterval - time.Second)
					for i := range test.writes {
						m := fmt.Sprintf(`{"action":"set","key":"k","value":%d,"id":%d}`, i, i)
						if err := c.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
							t.Errorf("write %d: %v", i, err)
							return
						}
					}
				})
				c.SetPingHandler(func(data string) error { // the pong comes after the writes
					sender.Go(func() {
						_ = c.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Hour))
					})
					return nil
				})
				for i := range test.writes {
					if _, m, err := c.ReadMessage(); err != nil || !strings.HasPrefix(string(m), fmt.Sprintf(`{"id":%d,"ok":true`, i)) {
						t.Fatalf("reply %d: %s %v\n%s", i, m, err, p.log.text())
					}
				}
				_ = c.Close()
				sender.Wait()
				synctest.Wait()
			})
		})
	}
}

// A client that takes no bytes is closed after 10 s, even if pings are due.
func TestAClientThatTakesNothingIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","key":"k"}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(transport.PingInterval - 4*time.Second)
		start := time.Now()
		if _, err := p.keyspace.Set(t.Context(), "k", []byte("1")); err != nil {
			t.Fatal(err)
		}
		for len(p.log.lines(t, "session closed")) == 0 {
			time.Sleep(time.Second)
		}
		if after := time.Since(start); after > transport.StallTimeout+time.Second {
			t.Errorf("closed after %v, want %v", after, transport.StallTimeout)
		}
		if e := p.log.lines(t, "session closed")[0]; e["code"] != 4008.0 || e["reason"] != "too slow" {
			t.Errorf("logged %v, want 4008", e)
		}
		_ = c.Close()
	})
}

// A client that takes a byte now and then stays, because a slow link is not a dead one.
func TestAClientThatTakesAFewBytesStays(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","key":"k"}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := p.keyspace.Set(t.Context(), "k", []byte(quote(strings.Repeat("x", 200)))); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		buffer := make([]byte, 10)
		for read := 0; read < 200; {
			time.Sleep(9 * time.Second)
			n, err := c.NetConn().Read(buffer)
			if err != nil {
				t.Fatalf("after %d bytes and %v: %v", read, time.Since(start), err)
			}
			read += n
		}
		if p.Sessions() != 1 {
			t.Error("the session has ended")
		}
		_ = c.Close()
		synctest.Wait()
	})
}

// A client that sends pings while it does not read gets everything when it reads again.
// The library alone would cut it off, because it gives a control frame 5 s.
func TestAPingDoesNotCutAStalledClientOff(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","key":"k"}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 3 {
			if _, err := p.keyspace.Set(t.Context(), "k", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := c.WriteControl(websocket.PingMessage, []byte{byte('0' + i)}, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(9 * time.Second)
		pongs := ""
		c.SetPongHandler(func(data string) error { pongs += data; return nil })
		for i := range 3 {
			if _, m, err := c.ReadMessage(); err != nil || string(m) != fmt.Sprintf(`{"key":"k","value":%d}`, i) {
				t.Fatalf("update %d: %s %v", i, m, err)
			}
		}
		go func() {
			synctest.Wait()
			_ = c.Close()
		}()
		_, _, _ = c.ReadMessage()
		if pongs != "2" {
			t.Errorf("pongs %q, want that of the last ping, which answers for all", pongs)
		}
		synctest.Wait()
	})
}

// A client that takes a byte now and then stays, even if it misses messages. Once its
// session ends, taking bytes gives it no more time than one StallTimeout.
func TestAnEndingSessionGivesASlowClientNoMoreTime(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"action":"subscribe","topic":"t"}`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 30 {
			if err := p.keyspace.Publish(t.Context(), "t", []byte(quote(strings.Repeat("x", 60_000)))); err != nil {
				t.Fatal(err)
			}
		}
		trickle := func() error {
			time.Sleep(9 * time.Second)
			_, err := c.NetConn().Read(make([]byte, 100))
			return err
		}
		for range 10 {
			if err := trickle(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.WriteMessage(websocket.BinaryMessage, nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for trickle() == nil {
			if time.Since(start) > time.Minute {
				t.Fatal("it is still there after a minute")
			}
		}
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["code"] != 1003.0 {
			t.Errorf("logged %v, want 1003", e)
		}
		_ = c.Close()
	})
}

// A message that does not end in time ends the connection.
func TestAMessageThatTakesTooLongEndsTheConnection(t *testing.T) {
	for name, fragment := range map[string]string{"empty": "", "a byte": "x"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *piped) {
				c := p.dial(t)
				var sender sync.WaitGroup
				sender.Go(func() {
					frame := append([]byte{0x01, 0x80 | byte(len(fragment)), 0, 0, 0, 0}, fragment...)
					for {
						if _, err := c.NetConn().Write(frame); err != nil {
							return
						}
						frame[0] = 0 // a continuation frame
						time.Sleep(time.Second)
					}
				})
				code, after := closing(c)
				if code != 1008 || after > 11*time.Second {
					t.Errorf("ended with %d after %v, want 1008 after 10s", code, after)
				}
				_ = c.Close()
				sender.Wait()
				synctest.Wait()
			})
		})
	}
}

// A slow message that ends in time is answered, and then a client may be silent for long.
func TestASlowMessageThatEndsInTimeIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			// It ends before the first ping: the library's pong sets a deadline
			// for writes.
			for _, pause := range []time.Duration{8 * time.Second, time.Second} {
				_, _ = c.NetConn().Write([]byte("\x01\x81\x00\x00\x00\x00{"))
				time.Sleep(pause)
				_, _ = c.NetConn().Write([]byte("\x80\x81\x00\x00\x00\x00}"))
				time.Sleep(11 * time.Second) // longer than a message may take
			}
		}()
		_ = c.SetReadDeadline(time.Now().Add(time.Hour))
		for range 2 {
			if _, m, err := c.ReadMessage(); err != nil || errorCode(t, string(m)) != "invalid_request" {
				t.Fatalf("after %v: %s %v, want an answer\n%s", time.Since(start), m, err, p.log.text())
			}
		}
		<-done
		if p.Sessions() != 1 {
			t.Error("the session has ended")
		}
		_ = c.Close()
		synctest.Wait()
	})
}

// The server waits while a client is still sending a message that is too big, so that
// the client reads the close code.
func TestASlowSenderOfATooBigMessageGetsTheCloseCode(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		c := p.dial(t)
		c.SetCloseHandler(func(int, string) error { return nil }) // it would set a deadline for writes
		sent := make(chan error, 1)
		go func() {
			const size = 2 << 20
			_, err := c.NetConn().Write([]byte("\x81\xff\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00"))
			for range 16 {
				if err == nil {
					_, err = c.NetConn().Write(make([]byte, size/16))
				}
				time.Sleep(500 * time.Millisecond)
			}
			sent <- err
		}()
		if code, _ := closing(c); code != 1009 {
			t.Errorf("close code %d, want 1009", code)
		}
		if err := <-sent; err != nil {
			t.Errorf("the connection was cut while the client was sending: %v", err)
		}
		_ = c.Close()
		synctest.Wait()
	})
}

// The time of a message begins with its first byte, even if that is a part of a frame
// header.
func TestAPartOfAFrameHeaderTimesOut(t *testing.T) {
	for _, part := range []string{"\x81", "\x81\xfe\x00", "\x81\x81\x00\x00"} {
		inBubble(t, func(t *testing.T, p *piped) {
			c := p.dial(t)
			c.SetPingHandler(func(string) error { return nil }) // a pong in the middle of a frame would be a part of it
			_, _ = io.WriteString(c.NetConn(), part)
			if code, after := closing(c); code != 1008 || after > 11*time.Second {
				t.Errorf("after %x closed with %d after %v, want 1008 after 10 s", part, code, after)
			}
			_ = c.Close()
			synctest.Wait()
		})
	}
}

// A ping is answered while a request waits for the store. The requests behind it wait, and
// their number is bounded.
func TestAPingIsAnsweredWhileARequestWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, p *piped) {
		p.store.hold(func(keyspace.Record) { time.Sleep(time.Minute) })
		c := p.dial(t)
		start := time.Now()
		for i := range 3 {
			m := fmt.Sprintf(`{"action":"set","key":"k","value":%d,"id":%d}`, i, i)
			if err := c.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		pong := time.Duration(0)
		c.SetPongHandler(func(string) error { pong = time.Since(start); return nil })
		if err := c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, m, err := c.ReadMessage(); err != nil || !strings.HasPrefix(string(m), fmt.Sprintf(`{"id":%d,"ok":true`, i)) {
				t.Fatalf("reply %d: %s %v", i, m, err)
			}
		}
		if pong == 0 || pong > time.Second {
			t.Errorf("the pong came after %v", pong)
		}

		request := []byte(`{"action":"set","key":"k","value":"` + strings.Repeat("x", 1000) + `"}`)
		sent := 0
		for err := error(nil); err == nil; sent++ {
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
			err = c.WriteMessage(websocket.TextMessage, request)
		}
		if bytes := sent * len(request); bytes < 32<<10 || bytes > 72<<10 {
			t.Errorf("%d bytes of requests were read while one waits, want about 64 KiB", bytes)
		}
		_ = c.Close()
		for p.Sessions() > 0 { // the requests that were read take effect
			time.Sleep(time.Minute)
		}
	})
}
