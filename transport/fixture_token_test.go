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
	keys, err := auth.SecretKeys(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// token returns a token with grants, which are the claim rtdb in JSON.
func token(t testing.TB, grants string, ttl time.Duration) string {
	t.Helper()
	return tokenOf(t, "", grants, ttl)
}

// tokenOf is token with a subject.
func tokenOf(t testing.TB, subject, grants string, ttl time.Duration) string {
	t.Helper()
	signer, err := auth.SecretSigner(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.ParseGrants([]byte(grants))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.Sign(subject, g, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
