package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
)

func TestAClientThatSendsNoTokenIsClosed(t *testing.T) {
	inBubbleWith(t, transport.Options{Keys: testKeys(t)}, func(t *testing.T, p *piped) {
		c := p.dial(t)
		if code, after := closing(c); code != 1008 || after != 10*time.Second {
			t.Errorf("closed with %d after %v, want 1008 after 10 s", code, after)
		}
		_ = c.Close()
	})
}

// A client is warned 30 s before its token expires, or at once if less time is left.
// Another token puts off the warning and the end.
func TestAClientIsWarnedBeforeItsTokenExpires(t *testing.T) {
	inBubbleWith(t, transport.Options{Keys: testKeys(t)}, func(t *testing.T, p *piped) {
		c := p.dial(t)
		start := time.Now()
		want := func(message string, at time.Duration) {
			t.Helper()
			_, text, err := c.ReadMessage()
			if since := time.Since(start); err != nil || string(text) != message || since != at {
				t.Fatalf("got %s after %v, %v; want %s after %v", text, since, err, message, at)
			}
		}
		auth := func(ttl time.Duration) {
			t.Helper()
			text := fmt.Sprintf(`{"id":1,"action":"auth","token":%q}`, token(t, `{"write":["#"]}`, ttl))
			if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		auth(time.Minute)
		want(`{"id":1,"ok":true}`, 0)
		want(`{"action":"auth","expires_in":30}`, 30*time.Second)
		time.Sleep(20 * time.Second)
		auth(2 * time.Minute)
		want(`{"id":1,"ok":true}`, 50*time.Second)
		want(`{"action":"auth","expires_in":30}`, 140*time.Second)
		auth(20 * time.Second)
		want(`{"id":1,"ok":true}`, 140*time.Second)
		want(`{"action":"auth","expires_in":20}`, 140*time.Second)
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"action":"will","key":"a","value":1}`)); err != nil {
			t.Fatal(err)
		}
		want(`{"id":1,"ok":true}`, 140*time.Second)
		if code, after := closing(c); code != 4010 || after != 20*time.Second {
			t.Errorf("closed with %d after %v, want 4010 after 20 s", code, after)
		}
		_ = c.Close()
		synctest.Wait()
		if e := p.log.lines(t, "session closed"); len(e) != 1 || e[0]["code"] != 4010.0 || e[0]["reason"] != "token expired" {
			t.Errorf("logged %v", e)
		}
		if _, err := p.keyspace.Get("a"); err == nil {
			t.Error("the will of an expired token was written")
		}
	})
}

func TestAnEventStreamEndsWithItsToken(t *testing.T) {
	inBubbleWith(t, transport.Options{Keys: testKeys(t)}, func(t *testing.T, p *piped) {
		ours, theirs := net.Pipe()
		p.listener.accept <- theirs
		go func() {
			_, _ = fmt.Fprintf(ours, "GET /events?key=k HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
				token(t, `{"read":["k"]}`, time.Minute))
		}()
		start := time.Now()
		answer, err := http.ReadResponse(bufio.NewReader(ours), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Errorf("the stream ends with %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it ends after %v, want one minute", took)
		}
		_ = ours.Close()
	})
}
