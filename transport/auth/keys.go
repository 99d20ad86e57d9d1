package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// MinSecretBytes is the shortest secret for HS256: as long as its hash
	// (RFC 7518, section 3.2).
	MinSecretBytes = 32

	// minRSABits is the shortest RSA key (RFC 7518, section 3.3).
	minRSABits = 2048
)

// ErrToken is what every error of Verify is, by errors.Is.
var ErrToken = errors.New("auth: token refused")

// A TokenError says what is wrong with a token, in words for whoever sent it.
type TokenError struct {
	Reason string
}

func (e *TokenError) Error() string        { return ErrToken.Error() + ": " + e.Reason }
func (e *TokenError) Is(target error) bool { return target == ErrToken }

// Keys check tokens.
type Keys struct {
	method jwt.SigningMethod
	key    any
	parser *jwt.Parser
}

// A Principal is who has a token: what may be done with it, and until when.
type Principal struct {
	Grants
	Subject string    // the claim "sub"; may be empty
	Expires time.Time // zero: never, for it has no token
	ID      [16]byte  // tells tokens apart; zero where there is none
}

// Expired reports whether the token is over.
func (p *Principal) Expired() bool { return !p.Expires.IsZero() && !time.Now().Before(p.Expires) }

// SecretKeys returns the keys of a secret that who makes tokens has too
// (HS256).
func SecretKeys(secret string) (*Keys, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("the secret has %d bytes, and needs %d at least", len(secret), MinSecretBytes)
	}
	return newKeys(jwt.SigningMethodHS256, []byte(secret)), nil
}

// PublicKeys returns the keys of a public key or a certificate in PEM: RS256 for
// RSA, ES256 for P-256, EdDSA for Ed25519.
func PublicKeys(text []byte) (*Keys, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is no PEM")
	}
	key, err := publicKey(block)
	if err != nil {
		return nil, err
	}
	method, err := methodOf(key)
	if err != nil {
		return nil, err
	}
	return newKeys(method, key), nil
}

func publicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("it is a private key: the server needs the public one, and nobody else the private one")
	}
	return nil, fmt.Errorf("it is a %q, and no public key", block.Type)
}

// methodOf is the algorithm of a key's kind.
func methodOf(key any) (jwt.SigningMethod, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits {
			return nil, fmt.Errorf("the RSA key has %d bits, and needs %d at least", n, minRSABits)
		}
		return jwt.SigningMethodRS256, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the key is of the curve %s, and ES256 is of P-256", k.Curve.Params().Name)
		}
		return jwt.SigningMethodES256, nil
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	}
	return nil, fmt.Errorf("a key of the type %T is none for RS256, ES256 or EdDSA", key)
}

func newKeys(method jwt.SigningMethod, key any) *Keys {
	return &Keys{
		method: method, key: key,
		parser: jwt.NewParser(jwt.WithValidMethods([]string{method.Alg()}), jwt.WithExpirationRequired(), jwt.WithStrictDecoding()),
	}
}

// Algorithm is the one that tokens must have.
func (k *Keys) Algorithm() string { return k.method.Alg() }

// claims are what is looked at in a token.
type claims struct {
	jwt.RegisteredClaims
	Grants json.RawMessage `json:"rtdb,omitempty"`
}

// Verify returns who has the token, or a *TokenError.
func (k *Keys) Verify(token string) (*Principal, error) {
	var c claims
	parsed, err := k.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.key, nil })
	if err != nil {
		return nil, k.explain(err)
	}
	if _, ok := parsed.Header["crit"]; ok { // RFC 7515, section 4.1.11
		return nil, &TokenError{`it has a "crit" header, and nothing of that is known here`}
	}
	signed := token[:strings.LastIndexByte(token, '.')]
	if !plainlyNamed(signed) {
		return nil, &TokenError{`it has "exp", "nbf" or "rtdb" in other letters`}
	}
	p := &Principal{Subject: c.Subject, Expires: c.ExpiresAt.Time}
	if len(c.Grants) > 0 {
		if p.Grants, err = ParseGrants(c.Grants); err != nil {
			return nil, &TokenError{`its claim "rtdb" is malformed`}
		}
	}
	// Of what is signed, for a signature can have several forms.
	sum := sha256.Sum256([]byte(signed))
	copy(p.ID[:], sum[:])
	return p, nil
}

// plainlyNamed reports whether the claims that count are called as they are
// called: encoding/json would take "EXP" for "exp" too, and whoever makes tokens
// may let others choose names.
func plainlyNamed(signed string) bool {
	_, payload, _ := strings.Cut(signed, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return false
	}
	var named map[string]json.RawMessage
	if json.Unmarshal(text, &named) != nil {
		return false
	}
	for name := range named {
		for _, known := range []string{"exp", "nbf", "rtdb"} {
			if name != known && strings.EqualFold(name, known) {
				return false
			}
		}
	}
	return true
}

// explain keeps what is in a token out of the error.
func (k *Keys) explain(err error) error {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{jwt.ErrTokenMalformed, "it is no JSON Web Token"},
		{jwt.ErrTokenUnverifiable, "its signature cannot be checked"},
		{jwt.ErrTokenSignatureInvalid, "its signature is not valid, or not by " + k.Algorithm()},
		{jwt.ErrTokenRequiredClaimMissing, `it has no "exp"`},
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
	} {
		if errors.Is(err, known.err) {
			return &TokenError{known.reason}
		}
	}
	return &TokenError{"its claims are malformed"}
}
