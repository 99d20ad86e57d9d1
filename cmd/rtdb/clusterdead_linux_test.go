package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"rtdb/keyspace/jetstream/natstest"
)

// The will of a client is carried out by another node if its own is killed, or stands still.
// A node that stood still ends its sessions when it goes on. A client that comes from the killed
// node finds its will written when its hello is answered, and it is not written again.
func TestNodesThatAreGivenUp(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, natstest.Options{})
	killed, still, alive := startNode(t, c, "killed"), startNode(t, c, "still"), startNode(t, c, "alive")
	ask := func(client *websocket.Conn, request string) {
		t.Helper()
		if err := client.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
			t.Fatal(err)
		}
		if reply := receive(t, client); !strings.Contains(reply, `"ok":true`) {
			t.Fatal(reply)
		}
	}
	moves := dialV1(t, killed)
	ask(moves, `{"action":"will","key":"moves","value":"gone","id":1}`)
	ask(moves, `{"action":"hello","client":"moves","id":2}`)
	clients := map[*process]*websocket.Conn{}
	for _, p := range []*process{killed, still} {
		client := dialV1(t, p)
		clients[p] = client
		ask(client, fmt.Sprintf(`{"action":"will","key":"will/%d","value":1,"id":1}`, p.cmd.Process.Pid))
	}
	still.signal(syscall.SIGSTOP)
	killed.kill()
	moved := dialV1(t, alive)
	ask(moved, `{"action":"hello","client":"moves","id":1}`)
	alive.write("GET", "/data/moves", "", 200)
	ask(moved, `{"action":"set","key":"moves","value":"online","id":2}`)
	for p := range clients {
		alive.awaitStatus("GET", fmt.Sprintf("/data/will/%d", p.cmd.Process.Pid), "", 200)
	}
	names := map[any]bool{}
	for _, e := range alive.await("cluster has lost a node", 2) {
		names[e["other"]] = true
	}
	if !names["killed"] || !names["still"] {
		t.Errorf("the nodes %v are lost", names)
	}
	if got := alive.write("GET", "/data/moves", "", 200); !strings.Contains(got, "online") {
		t.Errorf("the key of the client that has moved: %s, want online", got)
	}
	version := versionOf(t, alive.write("GET", fmt.Sprintf("/data/will/%d", still.cmd.Process.Pid), "", 200))
	still.signal(syscall.SIGCONT)
	still.await("cluster has given this node up: its sessions end", 1)
	var err error
	for err == nil { // it may be told that the state is stale
		_, _, err = clients[still].ReadMessage()
	}
	if !websocket.IsCloseError(err, 1012) {
		t.Errorf("the client of the node that stood still gets %v, want 1012", err)
	}
	still.awaitStatus("GET", "/readyz", "", 200)
	still.write("PUT", "/data/k", `{"value":1}`, 200)
	still.stop()
	if again := versionOf(t, alive.write("GET", fmt.Sprintf("/data/will/%d", still.cmd.Process.Pid), "", 200)); again != version {
		t.Error("a will was carried out twice")
	}
	alive.stop()
}
