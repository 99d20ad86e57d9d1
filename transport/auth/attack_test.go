package auth_test

import (
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rtdb/transport/auth"
)

// No token of an attacker is accepted, with keys in PEM or in a JWK Set. An attacker knows
// the public keys, and has keys of its own.
func TestForgedTokensAreRefused(t *testing.T) {
	ours, theirs := keysOf(t), keysOf(t)
	var text []byte
	for _, key := range ours {
		_, public := pair(t, key)
		text = append(text, public...)
	}
	inPEM, err := auth.PublicKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	ourJWK := jwk(t, ours["RS256"], "kid", "k")
	set := setOf(t, ourJWK, jwk(t, ours["ES256"], "kid", "e"), jwk(t, ours["EdDSA"], "kid", "d"))
	inSet := setKeys(t, auth.Rules{}, ourJWK, jwk(t, ours["ES256"], "kid", "e"), jwk(t, ours["EdDSA"], "kid", "d"))
	oneJWK, err := json.Marshal(ourJWK)
	if err != nil {
		t.Fatal(err)
	}
	modulus := ours["RS256"].Public().(*rsa.PublicKey).N.Bytes()
	_, oneKey := pair(t, ours["RS256"])
	huge := strings.Repeat("k", 1<<20)
	forged := map[string]string{
		"no algorithm":          unsigned(t),
		"HMAC with the file":    signedBy(t, text),
		"HMAC with the key":     signedBy(t, oneKey, "kid", "k"),
		"HMAC with the set":     signedBy(t, set, "kid", "k"),
		"HMAC with the JWK":     signedBy(t, oneJWK, "kid", "k"),
		"HMAC with the modulus": signedBy(t, modulus, "kid", "k"),
		"HMAC with nothing":     signedBy(t, []byte{}),
		"HMAC with the ID":      signedBy(t, []byte("k"), "kid", "k"),
		"a path to nothing":     signedBy(t, []byte{}, "kid", "../../../../dev/null"),
		"a path to a file":      signedBy(t, []byte("k"), "kid", "/proc/sys/kernel/randomize_va_space"),
		"a query":               signedBy(t, []byte("k"), "kid", "x' UNION SELECT 'k"),
		"a huge ID":             signedBy(t, theirs["RS256"], "kid", huge),
		"an ID of bytes":        signedBy(t, theirs["RS256"], "kid", "k\x00\xff"),
		"an ID that is a list":  signedBy(t, theirs["RS256"], "kid", []string{"k"}),
		"an ID that is null":    signedBy(t, ours["RS256"], "kid", nil),
		"an ID that is a 0":     signedBy(t, ours["RS256"], "kid", 0),
		"an ID that is true":    signedBy(t, ours["RS256"], "kid", true),
		"critical extensions":   signedBy(t, ours["RS256"], "kid", "k", "crit", []string{"exp"}),
		"a critical nothing":    signedBy(t, ours["RS256"], "kid", "k", "crit", nil),
	}
	for name, key := range theirs {
		forged["a key of its own, "+name] = signedBy(t, key, "kid", "k")
		forged["a JWK in the header, "+name] = signedBy(t, key, "jwk", jwk(t, key), "kid", "k")
		forged["a URL in the header, "+name] = signedBy(t, key, "jku", "https://localhost:1/jwks.json", "x5u", "https://localhost:1/", "kid", "k")
		forged["a certificate in the header, "+name] = signedBy(t, key, "x5c", []string{"AAAA"})
	}
	for name, token := range forged {
		refused(t, inPEM, name+", PEM", token, "")
		refused(t, inSet, name+", set", token, "")
	}
	// The signature of another token, or none.
	good, other := signedBy(t, ours["RS256"]), signedBy(t, ours["RS256"], "typ", "other")
	signed := func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }
	for name, token := range map[string]string{
		"the signature of another": signed(good) + strings.TrimPrefix(other, signed(other)),
		"no signature":             signed(good),
		"two signatures":           good + "." + other,
	} {
		refused(t, inPEM, name, token, "")
	}
	if _, err := inPEM.Verify(good); err != nil {
		t.Error(err)
	}
}

// Claims that are not as the server asks for are refused by name.
func TestRules(t *testing.T) {
	key := keysOf(t)["EdDSA"]
	keys := setKeys(t, auth.Rules{Audience: "rtdb", Issuer: "https://id.example/", Leeway: 10 * time.Second}, jwk(t, key))
	free := setKeys(t, auth.Rules{}, jwk(t, key))
	now := time.Now().Unix()
	with := func(change jwt.MapClaims) string {
		claims := jwt.MapClaims{"exp": now + 60, "iat": now, "aud": "rtdb", "iss": "https://id.example/"}
		for name, value := range change {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, claims := range map[string]jwt.MapClaims{
		"as asked":          {},
		"several audiences": {"aud": []string{"other", "rtdb"}},
		"no iat":            {"iat": nil},
		"a clock ahead":     {"iat": now + 8, "nbf": now + 8},
		"a clock behind":    {"exp": now - 8},
		"fractions":         {"exp": float64(now) + 0.5},
	} {
		if _, err := keys.Verify(with(claims)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		claims jwt.MapClaims
		reason string
		always bool // it is refused without rules, too
	}{
		"no audience":              {jwt.MapClaims{"aud": nil}, `no "aud"`, false},
		"an empty list":            {jwt.MapClaims{"aud": []string{}}, `no "aud"`, false},
		"an empty audience":        {jwt.MapClaims{"aud": ""}, `no "aud"`, false},
		"another audience":         {jwt.MapClaims{"aud": []string{"rtdb2", "RTDB", "rtd"}}, `"aud" is not`, false},
		"an audience of numbers":   {jwt.MapClaims{"aud": []int{1}}, `"aud" has the wrong type`, true},
		"no issuer":                {jwt.MapClaims{"iss": nil}, `no "iss"`, false},
		"an empty issuer":          {jwt.MapClaims{"iss": ""}, `no "iss"`, false},
		"another issuer":           {jwt.MapClaims{"iss": "https://id.example"}, `"iss" is not`, false},
		"a list of issuers":        {jwt.MapClaims{"iss": []string{"https://id.example/"}}, `"iss" has the wrong type`, true},
		"no expiry time":           {jwt.MapClaims{"exp": nil}, `no "exp"`, true},
		"no expiry time or issuer": {jwt.MapClaims{"exp": nil, "iss": nil}, `no "exp"`, true},
		"an expiry time as text":   {jwt.MapClaims{"exp": "tomorrow"}, `"exp" has the wrong type`, true},
		"expired":                  {jwt.MapClaims{"exp": now - 11}, `"exp" is in the past`, true},
		"not yet valid":            {jwt.MapClaims{"nbf": now + 15}, `"nbf" is in the future`, true},
		"issued in the future":     {jwt.MapClaims{"iat": now + 15}, `"iat" is in the future`, true},
		"a subject as number":      {jwt.MapClaims{"sub": 7}, `"sub" has the wrong type`, true},
		"two audiences":            {jwt.MapClaims{"AUD": "rtdb", "aud": "other"}, "", true},
		"a second issuer":          {jwt.MapClaims{"Iss": "other", "iss": "https://id.example/"}, "", true},
		"a second subject":         {jwt.MapClaims{"SUB": "admin", "sub": "me"}, "lower case", true},
		"an issue time in capital": {jwt.MapClaims{"IAT": now}, "lower case", true},
	} {
		refused(t, keys, name, with(c.claims), c.reason)
		if c.always {
			refused(t, free, name+" without rules", with(c.claims), c.reason)
		} else if _, err := free.Verify(with(c.claims)); err != nil {
			t.Errorf("%s without rules: %v", name, err)
		}
	}
}
