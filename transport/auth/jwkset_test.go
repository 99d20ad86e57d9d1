package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rtdb/transport/auth"
)

var base64url = base64.RawURLEncoding.EncodeToString

// jwk returns a JWK of a public key, with other members, which are names and values in
// turn.
func jwk(t *testing.T, key crypto.Signer, members ...string) map[string]any {
	t.Helper()
	m := map[string]any{}
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", base64url(k.N.Bytes()), base64url(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Curve.Params().Name, base64url(point[1:1+half]), base64url(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", base64url(k)
	}
	for i := 0; i < len(members); i += 2 {
		m[members[i]] = members[i+1]
	}
	return m
}

func setOf(t *testing.T, keys ...map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func setKeys(t *testing.T, r auth.Rules, keys ...map[string]any) *auth.Keys {
	t.Helper()
	set, _, err := auth.ParseJWKSet(setOf(t, keys...))
	if err != nil {
		t.Fatal(err)
	}
	k := auth.NewKeys(r)
	k.Use("set", set)
	return k
}

// signedBy returns a token with an expiry time and a header, whose values are names and
// values in turn.
func signedBy(t *testing.T, key any, header ...any) string {
	t.Helper()
	var method jwt.SigningMethod = jwt.SigningMethodHS256
	switch key.(type) {
	case *rsa.PrivateKey:
		method = jwt.SigningMethodRS256
	case *ecdsa.PrivateKey:
		method = jwt.SigningMethodES256
	case ed25519.PrivateKey:
		method = jwt.SigningMethodEdDSA
	}
	token := jwt.NewWithClaims(method, jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix(), "sub": "me"})
	for i := 0; i < len(header); i += 2 {
		token.Header[header[i].(string)] = header[i+1]
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The header "kid" of a token chooses the key. A token without one is checked with every
// key of its algorithm, and a key without an ID checks every token of its algorithm.
func TestTheKeyIDChoosesTheKey(t *testing.T) {
	one, two := keysOf(t), keysOf(t)
	nameless := keysOf(t)["ES256"]
	keys := setKeys(t, auth.Rules{},
		jwk(t, one["RS256"], "kid", "1", "alg", "RS256", "use", "sig"), jwk(t, one["ES256"], "kid", "1", "alg", "ES256"),
		jwk(t, two["RS256"], "kid", "2"), jwk(t, two["EdDSA"], "kid", "ed", "alg", "EdDSA"), jwk(t, nameless))
	for name, c := range map[string]struct {
		token  string
		reason string // "": accepted
	}{
		"its own":                       {signedBy(t, one["RS256"], "kid", "1"), ""},
		"its own of two with the ID":    {signedBy(t, one["ES256"], "kid", "1"), ""},
		"its own, EdDSA":                {signedBy(t, two["EdDSA"], "kid", "ed"), ""},
		"none":                          {signedBy(t, two["RS256"]), ""},
		"an empty one":                  {signedBy(t, two["RS256"], "kid", ""), ""},
		"none, EdDSA":                   {signedBy(t, two["EdDSA"]), ""},
		"any, and a key without":        {signedBy(t, nameless, "kid", "7"), ""},
		"another's":                     {signedBy(t, one["RS256"], "kid", "2"), "signature"},
		"another's of another kind":     {signedBy(t, two["RS256"], "kid", "ed"), "algorithm"},
		"an unknown one":                {signedBy(t, one["RS256"], "kid", "7"), "algorithm"},
		"an unknown one, no key fits":   {signedBy(t, one["ES256"], "kid", "7"), "signature"},
		"one in another case":           {signedBy(t, two["EdDSA"], "kid", "ED"), "algorithm"},
		"none, and the key is unknown":  {signedBy(t, two["ES256"]), "signature"},
		"its own, but the token is not": {signedBy(t, []byte(secret), "kid", "1"), "algorithm"},
	} {
		if c.reason != "" {
			refused(t, keys, name, c.token, c.reason)
		} else if p, err := keys.Verify(c.token); err != nil || p.Subject != "me" {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	refused(t, setKeys(t, auth.Rules{}, jwk(t, one["RS256"], "kid", "1")), "an unknown ID", signedBy(t, one["RS256"], "kid", "7"), `"kid" names no key`)
}

// Keys that are not for RS256, ES256 or EdDSA signatures are left out of a JWK Set, and the
// others count. Above all a secret in a set does not check tokens.
func TestUnusableJWKsAreLeftOut(t *testing.T) {
	keys := keysOf(t)
	good := jwk(t, keys["RS256"], "kid", "good")
	with := func(key crypto.Signer, name string, value any) map[string]any {
		m := jwk(t, key, "kid", "bad")
		m[name] = value
		return m
	}
	otherPoint := jwk(t, keysOf(t)["ES256"])["y"]
	for name, c := range map[string]struct {
		key    map[string]any
		reason string
	}{
		"a secret":           {map[string]any{"kty": "oct", "k": base64url([]byte(secret)), "alg": "HS256", "kid": "bad"}, "secret"},
		"a private key":      {with(keys["EdDSA"], "d", base64url(keys["EdDSA"].(ed25519.PrivateKey).Seed())), "private key"},
		"for encryption":     {with(keys["RS256"], "use", "enc"), `use is "enc"`},
		"for other work":     {with(keys["RS256"], "key_ops", []string{"encrypt"}), "key_ops"},
		"RS512":              {with(keys["RS256"], "alg", "RS512"), `alg is "RS512"`},
		"HS256":              {with(keys["RS256"], "alg", "HS256"), `alg is "HS256"`},
		"P-384":              {with(keys["ES256"], "crv", "P-384"), ""},
		"off the curve":      {with(keys["ES256"], "y", otherPoint), ""},
		"a short point":      {with(keys["EdDSA"], "x", "AAAA"), ""},
		"no modulus":         {with(keys["RS256"], "n", ""), ""},
		"a small modulus":    {with(keys["RS256"], "n", base64url(make([]byte, 128))), "bits"},
		"an enormous number": {with(keys["RS256"], "e", base64url([]byte(strings.Repeat("x", 100)))), ""},
		"an unknown kind":    {map[string]any{"kty": "AKP", "kid": "bad"}, ""},
		"a wrong type":       {with(keys["RS256"], "kty", 7), ""},
		"another's x5c":      {with(keys["RS256"], "x5c", []string{"AAAA"}), ""},
		"nothing":            {nil, ""},
	} {
		set, ignored, err := auth.ParseJWKSet(setOf(t, c.key, good))
		if err != nil || len(set) != 1 || set[0].ID() != "good" || len(ignored) != 1 ||
			!strings.HasPrefix(ignored[0], "key 1: ") || !strings.Contains(ignored[0], c.reason) || len(ignored[0]) > 300 {
			t.Errorf("%s: %d keys, ignored %q, %v; want a reason with %q", name, len(set), ignored, err, c.reason)
		}
		if _, _, err := auth.ParseJWKSet(setOf(t, c.key)); err == nil || !strings.Contains(err.Error(), c.reason) || strings.Contains(err.Error(), base64url([]byte(secret))) {
			t.Errorf("%s alone: %v", name, err)
		}
		all := auth.NewKeys(auth.Rules{})
		all.Use("", set)
		refused(t, all, name, signedBy(t, []byte(secret), "kid", "bad"), "")
		refused(t, all, name, signedBy(t, []byte(secret)), "")
	}
	for _, text := range []string{"", "{}", "[]", "null", `{"keys":null}`, `{"keys":{}}`, `{"keys":[]}`, "<html>", string(setOf(t, slices.Repeat([]map[string]any{good}, 101)...))} {
		if set, _, err := auth.ParseJWKSet([]byte(text)); err == nil {
			t.Errorf("%.20s is accepted: %d keys", text, len(set))
		}
	}
}
