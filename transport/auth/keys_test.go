package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rtdb/transport/auth"
)

// Keys accept the tokens of their own Signer, with the algorithm of the key's type, and
// refuse the tokens of the others.
func TestEachKindOfKey(t *testing.T) {
	grants := auth.Grants{Read: []string{"a/#"}, Publish: []string{"t"}, Admin: true}
	signers := map[string]*auth.Signer{}
	checkers := map[string]*auth.Keys{}
	var err error
	if signers["HS256"], err = auth.SecretSigner(secret); err != nil {
		t.Fatal(err)
	}
	if checkers["HS256"], err = auth.SecretKeys(secret); err != nil {
		t.Fatal(err)
	}
	for name, key := range keysOf(t) {
		private, public := pair(t, key)
		if signers[name], err = auth.PrivateSigner(private); err != nil {
			t.Fatal(err)
		}
		if checkers[name], err = auth.PublicKeys(public); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.PublicKeys(private); err == nil || !strings.Contains(err.Error(), "private key") {
			t.Errorf("%s: a private key is accepted as a public key: %v", name, err)
		}
	}
	for by, signer := range signers {
		token, err := signer.Sign("me", grants, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for name, keys := range checkers {
			who, err := keys.Verify(token)
			switch {
			case keys.Algorithms() != name:
				t.Errorf("the algorithms of %s are %s", name, keys.Algorithms())
			case by != name && !errors.Is(err, auth.ErrToken):
				t.Errorf("%s accepts a token of %s: %v", name, by, err)
			case by == name && (err != nil || who.Subject != "me" || !who.MayRead("a/b") || who.MayRead("b") ||
				!who.MayPublish("t") || who.MayListen("t") || !who.Admin || who.Expired()):
				t.Errorf("%s: %+v, %v", name, who, err)
			}
		}
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	keys, err := auth.SecretKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	hs := func(claims jwt.MapClaims) string { return sign(jwt.SigningMethodHS256, []byte(secret), claims) }
	critical := func() string {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": now + 60})
		token.Header["crit"] = []string{"exp"}
		text, err := token.SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := hs(jwt.MapClaims{"exp": now + 60})
	if _, err := keys.Verify(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, reason string }{
		"none":               {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"exp": now + 60}), "HS256"},
		"HS512":              {sign(jwt.SigningMethodHS512, []byte(secret), jwt.MapClaims{"exp": now + 60}), "HS256"},
		"another secret":     {sign(jwt.SigningMethodHS256, []byte(secret+"x"), jwt.MapClaims{"exp": now + 60}), "signature"},
		"altered":            {good[:len(good)-4] + "AAAA", "signature"},
		"cut":                {good[:len(good)/2], "not a JSON Web Token"},
		"empty":              {"", "not a JSON Web Token"},
		"no exp":             {hs(jwt.MapClaims{}), `no "exp"`},
		"expired":            {hs(jwt.MapClaims{"exp": now - 1}), "expired"},
		"not yet valid":      {hs(jwt.MapClaims{"exp": now + 60, "nbf": now + 30}), "not valid yet"},
		"exp a string":       {hs(jwt.MapClaims{"exp": "tomorrow"}), `"exp" has the wrong type`},
		"exp enormous":       {hs(jwt.MapClaims{"exp": 1e300}), "expired"},
		"invalid pattern":    {hs(jwt.MapClaims{"exp": now + 60, "rtdb": map[string]any{"read": []string{"a/#/b"}}}), "malformed"},
		"unknown grant":      {hs(jwt.MapClaims{"exp": now + 60, "rtdb": map[string]any{"raed": []string{"#"}}}), "malformed"},
		"grants in capitals": {hs(jwt.MapClaims{"exp": now + 60, "rtdb": map[string]any{"ADMIN": true}}), "malformed"},
		"exp twice":          {hs(jwt.MapClaims{"exp": now + 60, "EXP": now - 1}), "lower case"},
		"rtdb twice":         {hs(jwt.MapClaims{"exp": now + 60, "Rtdb": map[string]any{"admin": true}}), "lower case"},
		"crit":               {critical(), "crit"},
		"grants a list":      {hs(jwt.MapClaims{"exp": now + 60, "rtdb": []string{"#"}}), "malformed"},
	} {
		_, err := keys.Verify(c.token)
		var refused *auth.TokenError
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.reason) {
			t.Errorf("%s: %v, want a reason with %q", name, err, c.reason)
		}
	}
}

// A token has one ID, in whichever form its signature is written.
func TestATokenHasOneID(t *testing.T) {
	keys, err := auth.SecretKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := auth.SecretSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign("", auth.Grants{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	first, err := keys.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, last := range digits {
		if other, err := keys.Verify(token[:len(token)-1] + string(last)); err == nil && other.ID != first.ID {
			t.Errorf("the same token ending with %c has another ID", last)
		}
	}
}

// A token expires exactly when its expiry time and the leeway have passed. Without rules
// there is no leeway.
func TestATokenExpiresOnTime(t *testing.T) {
	for _, leeway := range []time.Duration{0, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			signer, err := auth.SecretSigner(secret)
			if err != nil {
				t.Fatal(err)
			}
			set, err := auth.ParseSecrets([]byte(secret))
			if err != nil {
				t.Fatal(err)
			}
			keys := auth.NewKeys(auth.Rules{Leeway: leeway})
			keys.Use("", set)
			token, err := signer.Sign("", auth.Grants{}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			expires := time.Now().Add(time.Minute)
			time.Sleep(time.Minute + leeway - time.Millisecond)
			who, err := keys.Verify(token)
			if err != nil || who.Expired() || !who.Expires.Equal(expires) || !who.Ends().Equal(expires.Add(leeway)) {
				t.Fatalf("before it expires: %+v, %v", who, err)
			}
			time.Sleep(time.Millisecond)
			if _, err := keys.Verify(token); !errors.Is(err, auth.ErrToken) || !who.Expired() {
				t.Errorf("when it expires: %v, expired %v", err, who.Expired())
			}
		})
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	if _, err := auth.SecretKeys(secret[:31]); err == nil {
		t.Error("a secret of 31 bytes is accepted")
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // Go itself refuses to make one
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"RSA of 1024 bits": small, "P-384": p384} {
		private, public := pair(t, key)
		if _, err := auth.PublicKeys(public); err == nil {
			t.Errorf("%s is accepted", name)
		}
		if _, err := auth.PrivateSigner(private); err == nil {
			t.Errorf("%s signs", name)
		}
	}
	for _, text := range []string{"", "no PEM", "-----BEGIN X-----\nAAAA\n-----END X-----\n"} {
		if _, err := auth.PublicKeys([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
