package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rtdb/transport/transporttest"

	"github.com/gorilla/websocket"
)

// Under a memory limit, each flood ends in refusals. The process stays below the size
// at which a container would kill it, goes on to answer, and accepts writes again once
// the keys that filled it are deleted.
func TestUnderALimitOfMemory(t *testing.T) {
	if testing.Short() || transporttest.UnderRace {
		t.Skip("takes some seconds; under the race detector memory says nothing")
	}
	const limit = 112 << 20 // about nine tenths of a container's 128 MiB
	value := strings.Repeat("x", 60_000)
	for name, flood := range map[string]func(t *testing.T, p *process, n int) (refused bool){
		"keys": func(t *testing.T, p *process, n int) bool {
			return put(t, p, fmt.Sprint("k", n), value) == http.StatusTooManyRequests
		},
		"values that grow": func(t *testing.T, p *process, n int) bool {
			key := fmt.Sprint("k", n)
			return put(t, p, key, "x") == http.StatusTooManyRequests || put(t, p, key, value) == http.StatusTooManyRequests
		},
		"wills": func(t *testing.T, p *process, n int) bool {
			c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
			if err != nil {
				return true // 503
			}
			t.Cleanup(func() { _ = c.Close() })
			for i := range 15 {
				text := fmt.Sprintf(`{"id":1,"action":"will","key":"w%d","value":"%s"}`, i, value)
				if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					t.Fatal(err)
				}
				_, answer, err := c.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(answer), "limit_reached") {
					return true
				}
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, []string{fmt.Sprint("GOMEMLIMIT=", limit)})
			var next, made atomic.Int64
			var flooding sync.WaitGroup
			for range 4 {
				flooding.Go(func() {
					refused := 0
					for end := time.Now().Add(8 * time.Second); time.Now().Before(end) && refused < 200; {
						if flood(t, p, int(next.Add(1))) {
							refused++
						} else {
							made.Add(1)
						}
					}
					if refused == 0 {
						t.Error("nothing was refused")
					}
				})
			}
			flooding.Wait()
			peak := peakMemory(t, p)
			if peak > limit*128/112 {
				t.Errorf("it took %d MiB, under a limit of %d", peak>>20, limit>>20)
			}
			if status, _ := p.call("GET", "/healthz", ""); status != http.StatusOK {
				t.Errorf("/healthz: %d", status)
			}
			t.Logf("%d made, peak %d MiB of %d", made.Load(), peak>>20, limit>>20)
			if name != "keys" {
				return
			}
			for n := range int(next.Load()) {
				r, err := http.NewRequest("DELETE", fmt.Sprint(p.url, "/data/k", n), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := do(r); err != nil {
					t.Fatal(err)
				}
			}
			transporttest.Eventually(t, "a key is taken after all are gone", func() bool {
				return put(t, p, "again", "x") == http.StatusOK
			})
		})
	}
}

func put(t *testing.T, p *process, key, value string) (status int) {
	t.Helper()
	r, err := http.NewRequest("PUT", p.url+"/data/"+key, strings.NewReader(`{"value":"`+value+`"}`))
	if err != nil {
		t.Error(err)
		return 0
	}
	if status, err = do(r); err != nil {
		t.Error(err)
	}
	return status
}

func do(r *http.Request) (status int, err error) {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// peakMemory returns the largest resident size of the process, in bytes.
func peakMemory(t *testing.T, p *process) (bytes int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &bytes); n == 1 {
			return bytes << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
