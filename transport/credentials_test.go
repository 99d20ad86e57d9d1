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
	"rtdb/transport/auth"
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

// Within the leeway after its expiry time a token still counts. The client is warned before
// the expiry time all the same, and ended when the leeway has passed.
func TestALeewayPutsOffTheEndOfASession(t *testing.T) {
	set, err := auth.ParseSecrets([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	keys := auth.NewKeys(auth.Rules{Leeway: 10 * time.Second})
	keys.Use("", set)
	inBubbleWith(t, transport.Options{Keys: keys}, func(t *testing.T, p *piped) {
		c := p.dial(t)
		start := time.Now()
		ask := func(message, want string, at time.Duration) {
			t.Helper()
			if message != "" {
				if err := c.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
					t.Fatal(err)
				}
			}
			_, text, err := c.ReadMessage()
			if since := time.Since(start); err != nil || string(text) != want || since != at {
				t.Fatalf("got %s after %v, %v; want %s after %v", text, since, err, want, at)
			}
		}
		old := token(t, `{"write":["#"]}`, time.Minute)
		ask(fmt.Sprintf(`{"id":1,"action":"auth","token":%q}`, old), `{"id":1,"ok":true}`, 0)
		ask("", `{"action":"auth","expires_in":30}`, 30*time.Second)
		time.Sleep(22 * time.Second)
		ask(`{"id":1,"action":"ping"}`, `{"id":1,"ok":true,"action":"pong"}`, 52*time.Second) // and it answers the server's ping
		time.Sleep(13 * time.Second)
		ask(`{"id":2,"action":"set","key":"a","value":1}`, `{"id":2,"ok":true,"version":1}`, 65*time.Second)
		ask(fmt.Sprintf(`{"id":3,"action":"auth","token":%q}`, old), `{"id":3,"ok":true}`, 65*time.Second)
		ask("", `{"action":"auth","expires_in":0}`, 65*time.Second)
		if code, after := closing(c); code != 4010 || after != 5*time.Second {
			t.Errorf("closed with %d after %v, want 4010 after 5 s", code, after)
		}
		_ = c.Close()
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
