package transport_test

import (
	"net/http"
	"testing"

	"rtdb/transport"
)

// Who is refused is counted, too: tokens cannot be tried as fast as one likes.
func TestRefusedTokensAreCounted(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), MaxRequestRate: 2})
	counts := make(map[int]int)
	for range 10 {
		counts[w.with(t, "GET", "/data/k", "", "Authorization", "Bearer x").StatusCode]++
	}
	if counts[http.StatusUnauthorized] > 6 || counts[http.StatusTooManyRequests] < 4 {
		t.Errorf("answers by status: %v, want about 4 refused by 401 and the rest by 429", counts)
	}
	w.want(t, "GET", "/healthz", "", http.StatusOK, "ok")
}
