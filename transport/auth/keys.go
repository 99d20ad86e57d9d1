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

// Keys check tokens with one secret or one public key. Their methods may be called from
// any goroutine.
type Keys struct {
	method jwt.SigningMethod
	key    any
	parser *jwt.Parser
}

// A Principal is an authenticated client, or a client without a token: its grants, and
// the time at which they end.
type Principal struct {
	Grants
	Subject string    // the claim "sub"; may be empty
	Expires time.Time // when the token expires; zero if there is no token
	ID      [16]byte  // identifies the token; zero if there is no token
}

// Expired reports whether the token has expired. Without a token it returns false.
func (p *Principal) Expired() bool { return !p.Expires.IsZero() && !time.Now().Before(p.Expires) }

const (
	// MinSecretBytes is the minimum length of a secret for HS256: the length of its hash
	// (RFC 7518, section 3.2).
	MinSecretBytes = 32

	// minRSABits is the minimum length of an RSA key (RFC 7518, section 3.3).
	minRSABits = 2048
)

// ErrToken means that Verify refused a token. All errors of Verify match it with errors.Is.
var ErrToken = errors.New("auth: token refused")

// A TokenError says why a token was refused.
type TokenError struct {
	Reason string // may be shown to the client; contains nothing of the token
}

func (e *TokenError) Error() string        { return ErrToken.Error() + ": " + e.Reason }
func (e *TokenError) Is(target error) bool { return target == ErrToken }

// SecretKeys returns Keys for a secret that the server shares with the token issuer
// (HS256). The secret must have at least MinSecretBytes bytes.
func SecretKeys(secret string) (*Keys, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("the secret has %d bytes: use at least %d", len(secret), MinSecretBytes)
	}
	return newKeys(jwt.SigningMethodHS256, []byte(secret)), nil
}

// PublicKeys returns Keys for a public key or a certificate in PEM (RFC 7468). The type of
// the key decides the algorithm: RS256 for RSA, ES256 for P-256, EdDSA for Ed25519.
func PublicKeys(text []byte) (*Keys, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block found: expected a public key or a certificate")
	}
	key, err := publicKey(block)
	if err != nil {
		return nil, err
	}
	method, err := signingMethod(key)
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
		return nil, errors.New("this is a private key: configure its public key, and give the private key only to the token issuer")
	}
	return nil, fmt.Errorf("the PEM block is a %q: expected a public key or a certificate", block.Type)
}

// signingMethod returns the algorithm for a public key.
func signingMethod(key any) (jwt.SigningMethod, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits {
			return nil, fmt.Errorf("the RSA key has %d bits: use at least %d", n, minRSABits)
		}
		return jwt.SigningMethodRS256, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the key is on the curve %s: use P-256 (ES256)", k.Curve.Params().Name)
		}
		return jwt.SigningMethodES256, nil
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	}
	return nil, fmt.Errorf("keys of the type %T are not supported: use RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA)", key)
}

func newKeys(method jwt.SigningMethod, key any) *Keys {
	return &Keys{
		method: method, key: key,
		parser: jwt.NewParser(jwt.WithValidMethods([]string{method.Alg()}), jwt.WithExpirationRequired(), jwt.WithStrictDecoding()),
	}
}

// Algorithm returns the algorithm that tokens must have, as their header "alg" names it.
func (k *Keys) Algorithm() string { return k.method.Alg() }

// claims are the claims of a token that this package uses.
type claims struct {
	jwt.RegisteredClaims
	Grants json.RawMessage `json:"rtdb,omitempty"`
}

// Verify checks the token's signature, expiry time and claims. It returns the client that
// the token identifies, or a *TokenError.
func (k *Keys) Verify(token string) (*Principal, error) {
	var c claims
	parsed, err := k.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.key, nil })
	if err != nil {
		return nil, k.explain(err)
	}
	if _, ok := parsed.Header["crit"]; ok { // RFC 7515, section 4.1.11
		return nil, &TokenError{`it has a "crit" header, and this server supports no critical extension`}
	}
	signed := token[:strings.LastIndexByte(token, '.')]
	if !namesAreExact(signed) {
		return nil, &TokenError{`it has a claim "exp", "nbf" or "rtdb" that is not in lower case`}
	}
	p := &Principal{Subject: c.Subject, Expires: c.ExpiresAt.Time}
	if len(c.Grants) > 0 {
		if p.Grants, err = ParseGrants(c.Grants); err != nil {
			return nil, &TokenError{`its claim "rtdb" is malformed: expected grants, such as {"read":["devices/#"]}`}
		}
	}
	// The hash leaves out the signature, because the same signature can be written in
	// several forms.
	sum := sha256.Sum256([]byte(signed))
	copy(p.ID[:], sum[:])
	return p, nil
}

// namesAreExact reports whether the token spells the names of the claims "exp", "nbf" and
// "rtdb" in lower case. encoding/json would read "EXP" as "exp" too, and a token issuer
// may let its users choose the names of other claims.
func namesAreExact(signed string) bool {
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

// explain turns an error of the jwt package into a *TokenError that contains nothing of the
// token.
func (k *Keys) explain(err error) error {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{jwt.ErrTokenMalformed, "it is not a JSON Web Token"},
		{jwt.ErrTokenUnverifiable, "its signature cannot be checked"},
		{jwt.ErrTokenSignatureInvalid, "its signature does not match the server's key, or its algorithm is not " + k.Algorithm()},
		{jwt.ErrTokenRequiredClaimMissing, `it has no "exp": an expiry time is required`},
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, `it is not valid yet: its "nbf" is in the future`},
	} {
		if errors.Is(err, known.err) {
			return &TokenError{known.reason}
		}
	}
	return &TokenError{"its claims are malformed"}
}
