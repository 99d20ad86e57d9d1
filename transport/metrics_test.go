package transport_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"rtdb/transport"
)

// metric returns the value of a metric, or the sum of the values of all its labels.
func (w *wire) metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	_, text := w.call(t, "GET", "/metrics", "")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if metric := line[:at]; metric == name || strings.HasPrefix(metric, name+"{") {
			v, err := strconv.ParseFloat(line[at+1:], 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

// The counts of a session stay in the sums when it has ended.
func TestMetricsAddUp(t *testing.T) {
	w := newWire(t, transport.Options{})
	value := func(name string) float64 {
		t.Helper()
		return w.metric(t, name)
	}
	c := w.dial(t)
	c.ask(`{"id":1,"action":"subscribe","key":"a"}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	for i := 1; i <= 3; i++ {
		c.send(fmt.Sprintf(`{"action":"set","key":"a","value":%d}`, i))
		c.want(fmt.Sprintf(`{"key":"a","value":%d}`, i))
	}
	c.wantCode(`{"id":2,"action":"set","key":"a","value":1,"ifVersion":1}`, "version_mismatch")
	if got := value("rtdb_sessions"); got != 1 {
		t.Errorf("%v sessions", got)
	}
	if got := value(`rtdb_writes_total{result="ok"}`); got != 3 {
		t.Errorf("%v writes", got)
	}
	if got := value(`rtdb_writes_total{result="version_mismatch"}`); got != 1 {
		t.Errorf("%v writes at a wrong version", got)
	}
	for range 2 {
		if got := value("rtdb_deliveries_total"); got != 3 {
			t.Errorf("%v deliveries", got)
		}
		if got := value("rtdb_keys"); got != 1 {
			t.Errorf("%v keys", got)
		}
		_ = c.NetConn().Close()
		w.log.await(t, "session closed", 1)
	}
	if sessions, ends := value("rtdb_sessions"), value("rtdb_session_ends_total"); sessions != 0 || ends != 1 {
		t.Errorf("%v sessions and %v ends, want 0 and 1", sessions, ends)
	}
}
