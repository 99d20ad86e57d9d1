package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// MinSecretBytes is the minimum length of a secret for HS256: the length of its hash
	// (RFC 7518, section 3.2).
	MinSecretBytes = 32

	// minRSABits is the minimum length of an RSA key (RFC 7518, section 3.3).
	minRSABits = 2048

	// maxKeys is the largest number of keys in a file or a JWK Set. A token without a key
	// ID may be checked with each of them.
	maxKeys = 100
)

// A Key checks the signatures of tokens. It fits one algorithm.
type Key struct {
	id     string // the token's header "kid" must have it; "" fits every token
	method jwt.SigningMethod
	key    any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// Algorithm returns the algorithm that tokens must have, as their header "alg" names it.
func (k *Key) Algorithm() string { return k.method.Alg() }

// ID returns the key's ID, or "" if it has none. Only keys of a JWK Set have an ID.
func (k *Key) ID() string { return k.id }

// byteOrderMark is what some editors write at the beginning of a file.
var byteOrderMark = []byte("\xef\xbb\xbf")

// ParseSecrets reads a file of secrets for HS256, one a line. Empty lines are ignored. An
// error names a line, and contains nothing of it.
func ParseSecrets(text []byte) (keys []Key, err error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		key, err := ParseSecret(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w; a secret is one line of text", number, err)
		}
		keys = append(keys, key)
	}
	return keys, checkNumber(len(keys), "no secret found: expected a line of at least 32 bytes")
}

// ParseSecret returns the Key for a secret that the server shares with the token issuer
// (HS256). The secret must have at least MinSecretBytes bytes.
func ParseSecret(secret string) (Key, error) {
	if len(secret) < MinSecretBytes {
		return Key{}, fmt.Errorf("the secret has %d bytes: use at least %d", len(secret), MinSecretBytes)
	}
	return Key{method: jwt.SigningMethodHS256, key: []byte(secret)}, nil
}

func checkNumber(keys int, ifNone string) error {
	switch {
	case keys == 0:
		return errors.New(ifNone)
	case keys > maxKeys:
		return fmt.Errorf("%d keys are too many: use at most %d", keys, maxKeys)
	}
	return nil
}

// ParsePEM reads public keys and certificates in PEM (RFC 7468). Text between the blocks is
// ignored. The type of a key decides its algorithm: RS256 for RSA, ES256 for P-256, EdDSA
// for Ed25519. If one block is not usable, ParsePEM returns an error that names it.
func ParsePEM(text []byte) (keys []Key, err error) {
	const begin = "-----BEGIN "
	pieces := strings.Split(string(bytes.TrimPrefix(text, byteOrderMark)), begin)[1:]
	if err := checkNumber(len(pieces), "no PEM block found: expected a public key or a certificate"); err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for i, piece := range pieces {
		// pem.Decode alone would skip a malformed block.
		block, _ := pem.Decode([]byte(begin + piece))
		if block == nil {
			return nil, fmt.Errorf("PEM block %d of %d is malformed", i+1, len(pieces))
		}
		public, certificate, err := publicKey(block)
		var method jwt.SigningMethod
		if err == nil {
			method, err = signingMethod(public)
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %d of %d: %w", i+1, len(pieces), err)
		}
		keys = append(keys, Key{method: method, key: public})
		certificates = append(certificates, certificate)
	}
	return keys, checkChain(certificates)
}

// checkChain refuses a certificate together with the certificate of its issuer. The
// server would otherwise accept tokens that the certificate authority signs. It ignores
// certificates that are nil.
func checkChain(certificates []*x509.Certificate) error {
	for i, c := range certificates {
		for j, issuer := range certificates {
			if c != nil && issuer != nil && !c.Equal(issuer) &&
				bytes.Equal(c.RawIssuer, issuer.RawSubject) && c.CheckSignatureFrom(issuer) == nil {
				return fmt.Errorf("PEM block %d is the certificate authority of block %d: "+
					"leave it out, because each key of the file checks tokens", j+1, i+1)
			}
		}
	}
	return nil
}

// publicKey returns the public key of a PEM block, and the certificate if it is one.
func publicKey(block *pem.Block) (public any, certificate *x509.Certificate, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
		return public, nil, err
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		return public, nil, err
	case "CERTIFICATE":
		certificate, err = x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, err
		}
		return certificate.PublicKey, certificate, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, nil, errors.New("this is a private key: configure its public key, and give the private key only to the token issuer")
	}
	return nil, nil, fmt.Errorf("the PEM block is a %q: expected a public key or a certificate", block.Type)
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
