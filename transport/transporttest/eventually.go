package transporttest

import (
	"testing"
	"time"
)

// Eventually waits until is reports true. After 20 s the test fails. It asks each
// millisecond, for conditions that nothing announces.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
	}
}
