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

// A Signer makes tokens. Its methods may be called from any goroutine, if its fields stay
// unchanged.
type Signer struct {
	KeyID    string // each token's header "kid"; "" leaves it out
	Audience string // each token's claim "aud"; "" leaves it out
	Issuer   string // each token's claim "iss"; "" leaves it out

	method jwt.SigningMethod
	key    any
}

// SecretSigner returns a Signer whose tokens SecretKeys accepts with the same secret.
func SecretSigner(secret string) (*Signer, error) {
	key, err := ParseSecret(secret)
	if err != nil {
		return nil, err
	}
	return &Signer{method: key.method, key: key.key}, nil
}

// SecretsSigner returns a Signer for the first secret of a file, as ParseSecrets reads it.
func SecretsSigner(text []byte) (*Signer, error) {
	keys, err := ParseSecrets(text)
	if err != nil {
		return nil, err
	}
	return &Signer{method: keys[0].method, key: keys[0].key}, nil
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
	return &Signer{method: method, key: private}, nil
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
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    s.Issuer,
			Subject:   subject,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Grants: grants,
	}
	if s.Audience != "" {
		c.Audience = jwt.ClaimStrings{s.Audience}
	}
	token := jwt.NewWithClaims(s.method, c)
	if s.KeyID != "" {
		token.Header["kid"] = s.KeyID
	}
	return token.SignedString(s.key)
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
