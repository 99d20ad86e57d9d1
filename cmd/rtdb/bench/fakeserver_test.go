package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// A fakeServer implements as much of the server's contract as bench uses, and breaks it
// as the test asks.
type fakeServer struct {
	url string

	// alter, if not nil, returns the updates that a subscriber receives instead of u.
	alter func(u fakeUpdate) []fakeUpdate
	// refuse, if not empty, is the error code of the reply to every write.
	refuse string
	// closeAt is the version at which the server closes its subscribers with 4008.
	closeAt uint64

	mu          sync.Mutex
	version     uint64
	values      map[string]json.RawMessage
	versions    map[string]uint64
	subscribers map[*websocket.Conn]map[string]bool
	deleted     int
}

type fakeUpdate struct {
	key     string
	value   json.RawMessage
	version uint64
}

func startFakeServer(t *testing.T) *fakeServer {
	f := &fakeServer{
		values: make(map[string]json.RawMessage), versions: make(map[string]uint64),
		subscribers: make(map[*websocket.Conn]map[string]bool),
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"rtdb.v1"}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		_, message, err := ws.Read(context.Background())
		if err != nil {
			break
		}
		if reply := f.handle(ws, message); reply != nil {
			send(ws, reply)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subscribers, ws)
}

func send(ws *websocket.Conn, message any) {
	text, err := json.Marshal(message)
	if err == nil {
		_ = ws.Write(context.Background(), websocket.MessageText, text) // it may be gone
	}
}

func (f *fakeServer) handle(ws *websocket.Conn, message []byte) any {
	var request struct {
		Action string
		ID     *int
		Key    string
		Keys   []string
		Value  json.RawMessage
	}
	if err := json.Unmarshal(message, &request); err != nil {
		return map[string]any{"error": map[string]string{"code": "invalid_request", "message": err.Error()}}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	reply := map[string]any{"id": request.ID, "ok": true}
	switch request.Action {
	case "ping":
		return map[string]any{"action": "pong"}
	case "subscribe":
		f.subscribers[ws] = make(map[string]bool)
		for _, key := range request.Keys {
			f.subscribers[ws][key] = true
		}
	case "get":
		reply["key"], reply["value"], reply["version"] = request.Key, f.values[request.Key], f.versions[request.Key]
	case "delete":
		f.deleted++
	case "set":
		if f.refuse != "" {
			return map[string]any{"action": "set", "error": map[string]string{"code": f.refuse, "message": "no"}}
		}
		f.version++
		f.values[request.Key], f.versions[request.Key] = request.Value, f.version
		f.fanOut(fakeUpdate{request.Key, request.Value, f.version})
	}
	if request.ID == nil {
		return nil
	}
	return reply
}

func (f *fakeServer) fanOut(u fakeUpdate) {
	updates := []fakeUpdate{u}
	if f.alter != nil {
		updates = f.alter(u)
	}
	for ws, keys := range f.subscribers {
		for _, u := range updates {
			if keys[u.key] {
				text := fmt.Sprintf(`{"key":%q,"value":%s,"version":%d,"at":1795419000000}`, u.key, u.value, u.version)
				if u.version%2 == 0 { // as an older server
					text = fmt.Sprintf(`{"key":%q,"value":%s,"version":%d}`, u.key, u.value, u.version)
				}
				_ = ws.Write(context.Background(), websocket.MessageText, []byte(text)) // it may be gone
			}
		}
		if u.version == f.closeAt {
			go ws.Close(4008, "too slow")
		}
	}
}
