package auth_test

import (
	"strings"
	"testing"
	"time"

	"rtdb/transport/auth"
)

func TestInspect(t *testing.T) {
	signer, err := auth.SecretSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign("me", auth.Grants{Listen: []string{"#"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	i, err := auth.Inspect(token)
	if err != nil || i.Header["alg"] != "HS256" || !strings.Contains(string(i.Claims), `"rtdb":{"listen":["#"]}`) {
		t.Errorf("got %v %s, %v", i.Header, i.Claims, err)
	}
	if strings.Contains(string(i.Claims), "aud") || strings.Contains(string(i.Claims), "iss") || i.Header["kid"] != nil {
		t.Errorf("got %v %s, want no audience, issuer and key ID", i.Header, i.Claims)
	}
	signer.KeyID, signer.Audience, signer.Issuer = "k", "rtdb", "https://id.example"
	if token, err = signer.Sign("me", auth.Grants{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if i, err = auth.Inspect(token); err != nil || i.Header["kid"] != "k" ||
		!strings.Contains(string(i.Claims), `"aud":["rtdb"]`) || !strings.Contains(string(i.Claims), `"iss":"https://id.example"`) {
		t.Errorf("got %v %s, %v", i.Header, i.Claims, err)
	}
	if _, err := auth.Inspect("no token"); err == nil {
		t.Error("a text that is not a token is accepted")
	}
	if _, err := signer.Sign("", auth.Grants{Read: []string{"a#"}}, time.Hour); err == nil {
		t.Error("a grant with an invalid pattern is signed")
	}
}
