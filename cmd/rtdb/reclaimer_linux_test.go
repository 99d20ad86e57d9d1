package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"rtdb/transport/transporttest"
)

// When 2000 clients have connected, the program gives the garbage of their handshakes back.
func TestAQuietServerGivesMemoryBack(t *testing.T) {
	if testing.Short() || transporttest.UnderRace {
		t.Skip("takes some seconds; under the race detector memory says nothing")
	}
	const clients = 2000
	p := start(t, nil)
	before := residentMemory(t, p)
	for range clients {
		c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Logf("each has %d bytes at once", (residentMemory(t, p)-before)/clients)
	const want = 9_500
	transporttest.Eventually(t, fmt.Sprintf("%d bytes for each client", want), func() bool {
		return residentMemory(t, p)-before < want*clients
	})
	t.Logf("each has %d bytes later", (residentMemory(t, p)-before)/clients)
}

// residentMemory returns the resident size of the process, in bytes.
func residentMemory(t *testing.T, p *process) (bytes int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
