package transport_test

import (
	"net/http"
	"testing"

	"rtdb/transport"
)

// A request with an invalid token counts against the rate, so that tokens cannot be
// guessed at full speed.
func TestRequestsWithInvalidTokensCountAgainstTheRate(t *testing.T) {
	w := newWire(t, transport.Options{Keys: testKeys(t), MaxRequestRate: 2})
	counts := make(map[int]int)
	for range 10 {
		counts[w.with(t, "GET", "/data/k", "", "Authorization", "Bearer x").StatusCode]++
	}
	if counts[http.StatusUnauthorized] > 6 || counts[http.StatusTooManyRequests] < 4 {
		t.Errorf("responses by status: %v, want about 4 times 401 and 429 for the others", counts)
	}
	w.want(t, "GET", "/healthz", "", http.StatusOK, "ok")
}
