package main

import (
	"fmt"
	"strings"
	"testing"

	"rtdb/transport/transporttest"
)

func TestGCPercent(t *testing.T) {
	for _, x := range []struct {
		live uint64 // MB
		want int
	}{{0, 400}, {1, 400}, {4, 400}, {5, 320}, {8, 200}, {16, 100}, {17, 100}, {4000, 100}} {
		if got := gcPercent(x.live << 20); got != x.want {
			t.Errorf("%d MB: %d%%, want %d%%", x.live, got, x.want)
		}
	}
}

// The program's small heap may grow by more than its size. When it has become large it may not,
// and when it is small again it may. The environment decides, if it says something.
func TestTheCollectorIsPaced(t *testing.T) {
	p := start(t, nil)
	wantGOGC := func(p *process, want string) {
		t.Helper()
		transporttest.Eventually(t, "GOGC is "+want, func() bool {
			return strings.Contains(p.write("GET", "/metrics", "", 200), "\ngo_gc_gogc_percent "+want+"\n")
		})
	}
	wantGOGC(p, "400")
	value := strings.Repeat("v", 60_000)
	for i := range 600 {
		p.write("POST", fmt.Sprintf("/data/k/%d", i), fmt.Sprintf(`{"value":%q}`, value), 200)
	}
	wantGOGC(p, "100")
	p.write("DELETE", "/data?prefix=k/", "", 200)
	wantGOGC(p, "400") // after a collection by the reclaimer

	set := start(t, []string{"GOGC=150"})
	for i := range 300 {
		set.write("POST", fmt.Sprintf("/data/k/%d", i), fmt.Sprintf(`{"value":%q}`, value), 200)
	}
	wantGOGC(set, "150")
}
