package jetstream_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rtdb/transport/transporttest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeURL); url != "" {
		runNode(url)
	}
	transporttest.Parallel(20) // they wait for elections, and for time to pass
	goleak.VerifyTestMain(m)
}

// longFaults is the environment variable that makes faults last as long, and come as often, as
// they should be tested. Without it they are shorter.
const longFaults = "RTDB_LONG_FAULTS"

func isLong() bool { return os.Getenv(longFaults) != "" }

// longOnly skips a test that takes many seconds, unless longFaults is set. The checks of a change
// set it (.ci/run).
func longOnly(t *testing.T) {
	t.Helper()
	if !isLong() {
		t.Skipf("set %s=1 to run it", longFaults)
	}
}

// choose returns the first value, or with longFaults the second one.
func choose[T any](short, long T) T {
	if isLong() {
		return long
	}
	return short
}

// eventually waits until is reports true.
func eventually(t testing.TB, patience time.Duration, what string, is func() bool) {
	t.Helper()
	if !poll(patience, is) {
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// poll asks is until it reports true, and returns false if the time is over before.
func poll(patience time.Duration, is func() bool) bool {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	over := time.After(patience)
	for !is() {
		select {
		case <-ticker.C:
		case <-over:
			return false
		}
	}
	return true
}
