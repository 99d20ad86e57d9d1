package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"rtdb/transport/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret that is long enough for HS256"

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pair returns the private and the public key in PEM.
func pair(t *testing.T, key crypto.Signer) (private, public []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private = pemOf(t, "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	return private, pemOf(t, "PUBLIC KEY", der, err)
}

func keysOf(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"RS256": rsaKey, "ES256": ecKey, "EdDSA": edKey}
}

// refused wants keys to refuse a token with a reason that contains want, and nothing of the
// token.
func refused(t *testing.T, keys *auth.Keys, name, token, want string) {
	t.Helper()
	p, err := keys.Verify(token)
	var reason *auth.TokenError
	if !errors.As(err, &reason) || p != nil || !strings.Contains(reason.Reason, want) {
		t.Errorf("%s: %v, %v; want a reason with %q", name, p, err, want)
		return
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 3 && strings.Contains(reason.Reason, part) {
			t.Errorf("%s: the reason %q has a part of the token", name, reason.Reason)
		}
	}
}
