package transport_test

import (
	"testing"
	"time"

	"rtdb/transport/auth"
	"rtdb/transport/transporttest"
)

const testSecret = transporttest.Secret

func testKeys(t testing.TB) *auth.Keys {
	t.Helper()
	return transporttest.Keys(t)
}

// token returns a token with grants, which are the claim rtdb in JSON.
func token(t testing.TB, grants string, ttl time.Duration) string {
	t.Helper()
	return transporttest.Token(t, "", grants, ttl)
}

// tokenOf is token with a subject.
func tokenOf(t testing.TB, subject, grants string, ttl time.Duration) string {
	t.Helper()
	return transporttest.Token(t, subject, grants, ttl)
}
