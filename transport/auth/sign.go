package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A Signer makes tokens.
type Signer struct {
	method jwt.SigningMethod
	key    any
}

// SecretSigner is the other side of SecretKeys.
func SecretSigner(secret string) (*Signer, error) {
	keys, err := SecretKeys(secret)
	if err != nil {
		return nil, err
	}
	return &Signer{keys.method, keys.key}, nil
}

// PrivateSigner is the other side of PublicKeys: it has a private key in PEM.
func PrivateSigner(text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is no PEM")
	}
	key, err := privateKey(block)
	if err != nil {
		return nil, err
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of the type %T signs nothing", key)
	}
	method, err := methodOf(private.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{method, private}, nil
}

func privateKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("it is a %q, and no private key", block.Type)
}

// Sign makes a token that is good from now on for a time of a second at least.
func (s *Signer) Sign(subject string, g Grants, ttl time.Duration) (string, error) {
	if err := g.Check(); err != nil {
		return "", err
	}
	grants, err := json.Marshal(g)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.NewWithClaims(s.method, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   subject,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Grants: grants,
	}).SignedString(s.key)
}

// An Inspection is what a token says of itself, whether that is true or not.
type Inspection struct {
	Header map[string]any  `json:"header"`
	Claims json.RawMessage `json:"claims"`
}

// Inspect reads a token without checking it.
func Inspect(token string) (i Inspection, err error) {
	parsed, parts, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return i, errors.New("it is no JSON Web Token")
	}
	i.Header = parsed.Header
	i.Claims, err = jwt.NewParser().DecodeSegment(parts[1])
	return i, err
}
