package main

import (
	"fmt"
	"os"

	"rtdb/transport/auth"
)

// A secretFlag is the secret that signs tokens and verifies them.
type secretFlag struct {
	JWTSecret string `name:"jwt-secret" env:"JWT_SECRET" placeholder:"SECRET" help:"Secret that signs and verifies tokens (HS256), at least 32 bytes."`
}

// keyFlags name the key that verifies tokens: a secret or a public key.
type keyFlags struct {
	secretFlag
	JWTPublicKeyFile string `name:"jwt-public-key-file" env:"JWT_PUBLIC_KEY_FILE" placeholder:"FILE" help:"Public key for RS256, ES256 or EdDSA tokens, in PEM."`
}

// keys returns the key that verifies tokens, or nil if none is configured.
func (f *keyFlags) keys() (*auth.Keys, error) {
	switch {
	case f.JWTSecret != "" && f.JWTPublicKeyFile != "":
		return nil, fmt.Errorf("--jwt-secret ($JWT_SECRET) and --jwt-public-key-file ($JWT_PUBLIC_KEY_FILE) exclude each other: set only one of them")
	case f.JWTSecret != "":
		keys, err := auth.SecretKeys(f.JWTSecret)
		if err != nil {
			return nil, fmt.Errorf("--jwt-secret ($JWT_SECRET): %w", err)
		}
		return keys, nil
	case f.JWTPublicKeyFile != "":
		text, err := os.ReadFile(f.JWTPublicKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--jwt-public-key-file ($JWT_PUBLIC_KEY_FILE): %w", err)
		}
		keys, err := auth.PublicKeys(text)
		if err != nil {
			return nil, fmt.Errorf("--jwt-public-key-file ($JWT_PUBLIC_KEY_FILE): %s: %w", f.JWTPublicKeyFile, err)
		}
		return keys, nil
	}
	return nil, nil
}

// signingFlags name the key that signs tokens: a private key or else a secret.
type signingFlags struct {
	secretFlag
	JWTPrivateKeyFile string `name:"jwt-private-key-file" env:"JWT_PRIVATE_KEY_FILE" placeholder:"FILE" help:"Private key that signs tokens, in PEM, instead of a secret."`
}

// signer returns the signer of tokens, or nil if no key is configured.
func (f *signingFlags) signer() (*auth.Signer, error) {
	switch {
	case f.JWTPrivateKeyFile != "":
		text, err := os.ReadFile(f.JWTPrivateKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--jwt-private-key-file ($JWT_PRIVATE_KEY_FILE): %w", err)
		}
		signer, err := auth.PrivateSigner(text)
		if err != nil {
			return nil, fmt.Errorf("--jwt-private-key-file ($JWT_PRIVATE_KEY_FILE): %s: %w", f.JWTPrivateKeyFile, err)
		}
		return signer, nil
	case f.JWTSecret != "":
		signer, err := auth.SecretSigner(f.JWTSecret)
		if err != nil {
			return nil, fmt.Errorf("--jwt-secret ($JWT_SECRET): %w", err)
		}
		return signer, nil
	}
	return nil, nil
}
