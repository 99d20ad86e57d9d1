package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rtdb/transport/auth"
)

// Every PEM block of a text counts, in any mixture of kinds.
func TestEveryPEMBlockCounts(t *testing.T) {
	var text []byte
	var tokens []string
	for range 2 {
		for _, key := range keysOf(t) {
			private, public := pair(t, key)
			text = append(append(text, "a comment\r\n"...), public...)
			signer, err := auth.PrivateSigner(private)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, sign(t, signer, "me"))
		}
	}
	keys, err := auth.PublicKeys(append([]byte("\xef\xbb\xbf"), text...))
	if err != nil {
		t.Fatal(err)
	}
	if got := keys.Algorithms(); got != "ES256 or EdDSA or RS256" {
		t.Errorf("the algorithms are %q", got)
	}
	for i, token := range tokens {
		if p, err := keys.Verify(token); err != nil || p.Subject != "me" {
			t.Errorf("the token of key %d: %v", i+1, err)
		}
	}
	secrets, err := auth.SecretSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, keys, "a secret's token", sign(t, secrets, ""), "ES256 or EdDSA or RS256")
}

// If one PEM block is not usable, the error names it.
func TestAnUnusablePEMBlockIsNamed(t *testing.T) {
	good := func() string {
		_, public := pair(t, keysOf(t)["EdDSA"])
		return string(public)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, public := pair(t, p384)
	for name, c := range map[string]struct{ second, reason string }{
		"garbage":   {"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n", "block 2 of 3 is malformed"},
		"cut":       {"-----BEGIN PUBLIC KEY-----\nAAAA\n", "block 2 of 3 is malformed"},
		"indented":  {"  " + strings.ReplaceAll(good(), "\n", "\n  ") + "\n", "block 2 of 3 is malformed"},
		"not DER":   {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "block 2 of 3: "},
		"P-384":     {string(public), "block 2 of 3: the key is on the curve P-384"},
		"a private": {string(private), "block 2 of 3: this is a private key"},
		"another":   {"-----BEGIN X-----\nAAAA\n-----END X-----\n", `block 2 of 3: the PEM block is a "X"`},
	} {
		if _, err := auth.PublicKeys([]byte(good() + c.second + good())); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		}
	}
	if _, err := auth.PublicKeys([]byte(strings.Repeat(good(), 101))); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("101 keys: %v", err)
	}
}

// A certificate together with its issuer's is refused: the issuer must not sign tokens.
// Several certificates that are independent of each other are accepted.
func TestAChainOfCertificatesIsRefused(t *testing.T) {
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, signer crypto.Signer, parent *x509.Certificate) (*x509.Certificate, []byte) {
		t.Helper()
		key := keysOf(t)["ES256"]
		if parent == nil {
			key = signer
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IsCA: parent == nil, BasicConstraintsValid: true,
		}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	root, rootText := issue("root", authority, nil)
	_, leafText := issue("leaf", authority, root)
	_, otherText := issue("root", keysOf(t)["ES256"], nil) // of the same name
	if _, err := auth.PublicKeys(append(leafText, rootText...)); err == nil ||
		!strings.Contains(err.Error(), "block 2 is the certificate authority of block 1") {
		t.Errorf("a chain: %v", err)
	}
	for name, text := range map[string][]byte{"self-signed": rootText, "two self-signed": append(otherText, rootText...), "a leaf": leafText} {
		if _, err := auth.PublicKeys(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each line of a file of secrets is a secret that checks tokens, and the first one signs.
func TestSecretsOfAFile(t *testing.T) {
	const second = "  another secret, with spaces around it  "
	text := []byte("\xef\xbb\xbf" + secret + "\r\n\n" + second + "\n")
	set, err := auth.ParseSecrets(text)
	if err != nil || len(set) != 2 {
		t.Fatalf("%d secrets, %v; want 2", len(set), err)
	}
	keys := auth.NewKeys(auth.Rules{})
	keys.Use("file", set)
	first, err := auth.SecretsSigner(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, second} {
		signer, err := auth.SecretSigner(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Verify(sign(t, signer, "")); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	alone, err := auth.SecretKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Verify(sign(t, first, "")); err != nil {
		t.Errorf("the first secret does not sign: %v", err)
	}
	refused(t, keys, "an unsigned token", unsigned(t), "HS256")
	for name, c := range map[string]struct{ text, reason string }{
		"empty":      {"", "no secret found"},
		"only lines": {"\n\r\n\n", "no secret found"},
		"short":      {secret + "\n" + secret[:31] + "\n", "line 2: the secret has 31 bytes"},
	} {
		_, err := auth.ParseSecrets([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.reason) || strings.Contains(err.Error(), secret[:10]) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
		}
		if _, err := auth.SecretsSigner([]byte(c.text)); err == nil {
			t.Errorf("%s: it signs", name)
		}
	}
}

// Keys that are replaced do not count any more, and those of other sources still do.
func TestUseReplacesTheKeysOfASource(t *testing.T) {
	keys := auth.NewKeys(auth.Rules{})
	tokens := map[string]string{}
	for _, source := range []string{"a", "b", "a2"} {
		private, public := pair(t, keysOf(t)["EdDSA"])
		signer, err := auth.PrivateSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		set, err := auth.ParsePEM(public)
		if err != nil {
			t.Fatal(err)
		}
		tokens[source] = sign(t, signer, "")
		keys.Use(source[:1], set)
	}
	for source, accepted := range map[string]bool{"a": false, "a2": true, "b": true} {
		if _, err := keys.Verify(tokens[source]); (err == nil) != accepted {
			t.Errorf("%s: %v, want it accepted: %v", source, err, accepted)
		}
	}
}

func sign(t *testing.T, signer *auth.Signer, subject string) string {
	t.Helper()
	token, err := signer.Sign(subject, auth.Grants{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func unsigned(t *testing.T) string {
	t.Helper()
	claims := jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
