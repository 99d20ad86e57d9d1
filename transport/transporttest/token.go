package transporttest

import (
	"testing"
	"time"

	"rtdb/transport/auth"
)

// Secret is the secret that tests sign tokens with.
const Secret = "a secret that only the tests have, and no one else"

// Keys returns keys that accept the tokens of [Token].
func Keys(t testing.TB) *auth.Keys {
	t.Helper()
	keys, err := auth.SecretKeys(Secret)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Token returns a token with a subject, which may be "", and grants, which are the claim
// rtdb in JSON.
func Token(t testing.TB, subject, grants string, ttl time.Duration) string {
	t.Helper()
	signer, err := auth.SecretSigner(Secret)
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
