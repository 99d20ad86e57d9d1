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

// A Signer makes tokens. Its methods may be called from any goroutine.
type Signer struct {
	method jwt.SigningMethod
	key    any
}

// SecretSigner returns a Signer whose tokens SecretKeys accepts with the same secret.
func SecretSigner(secret string) (*Signer, error) {
	keys, err := SecretKeys(secret)
	if err != nil {
		return nil, err
	}
	return &Signer{keys.method, keys.key}, nil
}

// PrivateSigner returns a Signer for a private key in PEM. PublicKeys accepts its tokens
// with the public key.
func PrivateSigner(text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block found: expected a private key")
	}
	key, err := privateKey(block)
	if err != nil {
		return nil, err
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("keys of the type %T cannot sign: use RSA, P-256 or Ed25519", key)
	}
	method, err := signingMethod(private.Public())
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
	return nil, fmt.Errorf("the PEM block is a %q: expected a private key", block.Type)
}

// Sign makes a token that is valid from now until ttl has passed. Times in tokens are whole
// seconds, so ttl must be at least one second.
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

// An Inspection is the content of a token. It was not checked, so it may be false.
type Inspection struct {
	Header map[string]any  `json:"header"`
	Claims json.RawMessage `json:"claims"`
}

// Inspect decodes a token without checking it.
func Inspect(token string) (i Inspection, err error) {
	parsed, parts, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return i, errors.New("the text is not a JSON Web Token")
	}
	i.Header = parsed.Header
	i.Claims, err = jwt.NewParser().DecodeSegment(parts[1])
	return i, err
}
