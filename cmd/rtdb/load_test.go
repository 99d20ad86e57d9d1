package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var load = struct {
	url         *string
	subscribers *int
	writers     *int
	keys        *int
	duration    *time.Duration
}{
	flag.String("load.url", "", "server for the load test; by default it starts one"),
	flag.Int("load.subscribers", 60, "WebSocket subscribers, each of one key"),
	flag.Int("load.writers", 3, "writers by HTTP, and as many by WebSocket"),
	flag.Int("load.keys", 20, "keys"),
	flag.Duration("load.duration", 2*time.Second, "how long they write"),
}

// A written is a value and the version that its write was answered with.
type written struct {
	version uint64
	value   uint64
}

// Writers write at the rate of the answers. Every subscriber must receive every update
// of its key, once, in the order of the versions. Against a running server:
//
//	go test ./cmd/rtdb -run EveryUpdate -v -args \
//	  -load.url http://localhost:8080 -load.subscribers 500 -load.writers 8 -load.keys 100 -load.duration 1m
func TestEveryUpdateReachesEverySubscriber(t *testing.T) {
	p := &process{t: t, url: *load.url}
	if p.url == "" {
		p = start(t, nil)
	}
	prefix := fmt.Sprintf("load/%d/", time.Now().UnixNano())
	subscribers := make([]*subscriber, *load.subscribers)
	for i := range subscribers {
		subscribers[i] = subscribe(t, p, fmt.Sprint(prefix, i%*load.keys))
	}

	var mu sync.Mutex
	history := make(map[string][]written)
	var writers sync.WaitGroup
	stop := time.Now().Add(*load.duration)
	for w := range 2 * *load.writers {
		write := writeByHTTP
		if w%2 == 1 {
			write = writeByWebSocket
		}
		writers.Go(func() {
			mine := make(map[string][]written)
			set := write(t, p)
			for n := uint64(0); time.Now().Before(stop) && !t.Failed(); n++ {
				key := fmt.Sprint(prefix, (int(n)*7+w)%*load.keys)
				value := uint64(w)<<32 | n
				mine[key] = append(mine[key], written{set(key, value), value})
			}
			mu.Lock()
			defer mu.Unlock()
			for key, all := range mine {
				history[key] = append(history[key], all...)
			}
		})
	}
	writers.Wait()

	total, delivered := 0, 0
	for key, all := range history {
		slices.SortFunc(all, func(a, b written) int { return int(int64(a.version) - int64(b.version)) })
		for i := 1; i < len(all); i++ {
			if all[i].version == all[i-1].version {
				t.Fatalf("key %s: two writes with version %d", key, all[i].version)
			}
		}
		total += len(all)
	}
	for i, s := range subscribers {
		want := history[s.key]
		s.finish(t)
		if len(s.got) != len(want) {
			t.Errorf("subscriber %d got %d updates of %s, want %d", i, len(s.got), s.key, len(want))
			continue
		}
		for j := range want {
			if s.got[j] != want[j].value {
				t.Errorf("subscriber %d: update %d of %s is %d, want %d", i, j, s.key, s.got[j], want[j].value)
				break
			}
		}
		delivered += len(s.got)
	}
	seconds := load.duration.Seconds()
	t.Logf("%d writes (%.0f/s), %d deliveries (%.0f/s), none lost, all in version order",
		total, float64(total)/seconds, delivered, float64(delivered)/seconds)
	if *load.url == "" {
		p.stop()
	}
}

// A subscriber receives the updates of one key.
type subscriber struct {
	key      string
	conn     *websocket.Conn
	got      []uint64 // the receiver's; read it after finish
	receiver sync.WaitGroup
}

func subscribe(t *testing.T, p *process, key string) *subscriber {
	t.Helper()
	s := &subscriber{key: key, conn: dial(t, p)}
	_ = s.conn.SetReadDeadline(time.Time{})
	if err := s.conn.WriteJSON(map[string]any{"action": "subscribe", "key": key, "id": 1}); err != nil {
		t.Fatal(err)
	}
	if _, reply, err := s.conn.ReadMessage(); err != nil || !bytes.Contains(reply, []byte(`"ok":true`)) {
		t.Fatalf("subscribe: %s %v", reply, err)
	}
	s.receiver.Go(func() { s.receive(t) })
	return s
}

// receive notes the updates until the reply to finish.
func (s *subscriber) receive(t *testing.T) {
	for {
		_, message, err := s.conn.ReadMessage()
		if err != nil {
			t.Errorf("a subscriber of %s: %v", s.key, err)
			return
		}
		var update struct {
			ID    *int
			Key   string
			Value uint64
		}
		switch err := json.Unmarshal(message, &update); {
		case err == nil && update.ID != nil:
			return
		case err != nil || update.Key != s.key:
			t.Errorf("a subscriber of %s got %s", s.key, message)
			return
		}
		s.got = append(s.got, update.Value)
	}
}

// finish asks for the key: the reply comes after all updates from before.
func (s *subscriber) finish(t *testing.T) {
	t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(patience))
	if err := s.conn.WriteJSON(map[string]any{"action": "get", "key": s.key, "id": 2}); err != nil {
		t.Errorf("a subscriber of %s: %v", s.key, err)
	}
	s.receiver.Wait()
	_ = s.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	_, _, _ = s.conn.ReadMessage() // the server's close frame
}

// The writers return a function that writes and returns the version.

func writeByHTTP(t *testing.T, p *process) func(key string, value uint64) uint64 {
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	return func(key string, value uint64) uint64 {
		body := strings.NewReader(fmt.Sprintf(`{"value":%d}`, value))
		answer, err := client.Post(p.url+"/data/"+key, "application/json", body)
		if err != nil {
			t.Errorf("write: %v", err)
			return 0
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(bufio.NewReader(answer.Body))
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("write: %s %s %v", answer.Status, text, err)
		}
		return versionIn(t, text)
	}
}

func writeByWebSocket(t *testing.T, p *process) func(key string, value uint64) uint64 {
	conn := dial(t, p)
	_ = conn.SetReadDeadline(time.Time{})
	return func(key string, value uint64) uint64 {
		request := fmt.Sprintf(`{"action":"set","key":%q,"value":%d,"id":%d}`, key, value, value)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
			t.Errorf("write: %v", err)
			return 0
		}
		_, reply, err := conn.ReadMessage()
		if err != nil {
			t.Errorf("write: %v", err)
			return 0
		}
		return versionIn(t, reply)
	}
}

func versionIn(t *testing.T, text []byte) uint64 {
	var answer struct{ Version uint64 }
	if err := json.Unmarshal(text, &answer); err != nil || answer.Version == 0 {
		t.Errorf("no version in %s: %v", text, err)
	}
	return answer.Version
}
