package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"rtdb/transport/auth"
)

// secretFlags name the secret that signs tokens and verifies them.
type secretFlags struct {
	JWTSecret     string `name:"jwt-secret" env:"JWT_SECRET" placeholder:"SECRET" help:"Secret that signs and verifies tokens (HS256), at least 32 bytes."`
	JWTSecretFile string `name:"jwt-secret-file" env:"JWT_SECRET_FILE" placeholder:"FILE" help:"Secrets, one a line: each verifies tokens, the first signs them."`
}

func (f *secretFlags) checkSecrets() error {
	if f.JWTSecret != "" && f.JWTSecretFile != "" {
		return errors.New("--jwt-secret ($JWT_SECRET) and --jwt-secret-file ($JWT_SECRET_FILE) exclude each other: set only one of them")
	}
	return nil
}

// keyFlags name the keys that verify tokens, and the rules for tokens.
type keyFlags struct {
	secretFlags
	JWTPublicKeyFile string        `name:"jwt-public-key-file" env:"JWT_PUBLIC_KEY_FILE" placeholder:"FILE" help:"Public keys for RS256, ES256 or EdDSA tokens, in PEM."`
	JWKSFile         string        `name:"jwks-file" env:"JWKS_FILE" placeholder:"FILE" help:"JWK Set with public keys for tokens."`
	JWKSURL          string        `name:"jwks-url" env:"JWKS_URL" placeholder:"URL" help:"URL of the JWK Set of an identity provider, https."`
	JWTAudience      string        `name:"jwt-audience" env:"JWT_AUDIENCE" placeholder:"NAME" help:"Audience that the claim aud of a token must have."`
	JWTIssuer        string        `name:"jwt-issuer" env:"JWT_ISSUER" placeholder:"NAME" help:"Issuer that the claim iss of a token must be."`
	JWTLeeway        time.Duration `name:"jwt-leeway" default:"10s" env:"JWT_LEEWAY" help:"Difference of clocks that the times in a token may have."`
}

const maxLeeway = 5 * time.Minute

// public reports whether public keys are configured.
func (f *keyFlags) public() bool {
	return f.JWTPublicKeyFile != "" || f.JWKSFile != "" || f.JWKSURL != ""
}

// checkKeys returns an error if the flags do not go together.
func (f *keyFlags) checkKeys() error {
	if err := f.checkSecrets(); err != nil {
		return err
	}
	secret, public := f.JWTSecret != "" || f.JWTSecretFile != "", f.public()
	switch {
	case secret && public:
		return errors.New("a secret (--jwt-secret, --jwt-secret-file) and public keys (--jwt-public-key-file, --jwks-file, --jwks-url) " +
			"exclude each other: unset one kind, also of the variables $JWT_SECRET, $JWT_SECRET_FILE, $JWT_PUBLIC_KEY_FILE, $JWKS_FILE and $JWKS_URL")
	case !secret && !public && f.JWTAudience != "":
		return errors.New("--jwt-audience ($JWT_AUDIENCE): it needs a key: set --jwt-secret, --jwt-public-key-file or --jwks-url")
	case !secret && !public && f.JWTIssuer != "":
		return errors.New("--jwt-issuer ($JWT_ISSUER): it needs a key: set --jwt-secret, --jwt-public-key-file or --jwks-url")
	case f.JWTLeeway < 0 || f.JWTLeeway > maxLeeway:
		return fmt.Errorf("--jwt-leeway ($JWT_LEEWAY): expected 0s to %v but got %v", maxLeeway, f.JWTLeeway)
	}
	if f.JWKSURL != "" {
		if err := auth.CheckURL(f.JWKSURL); err != nil {
			return fmt.Errorf("--jwks-url ($JWKS_URL): %w", err)
		}
	}
	return nil
}

// sources checks the flags and reads the files that they name. It does not ask the identity
// provider.
func (f *keyFlags) sources() (s keySources, err error) {
	if err := f.checkKeys(); err != nil {
		return s, err
	}
	if f.JWTSecret == "" && f.JWTSecretFile == "" && !f.public() {
		return s, nil
	}
	s.keys = auth.NewKeys(auth.Rules{Audience: f.JWTAudience, Issuer: f.JWTIssuer, Leeway: f.JWTLeeway})
	s.url = f.JWKSURL
	if f.JWTSecret != "" {
		secret, err := auth.ParseSecret(f.JWTSecret)
		if err != nil {
			return s, fmt.Errorf("--jwt-secret ($JWT_SECRET): %w", err)
		}
		s.keys.Use("", []auth.Key{secret})
	}
	for _, x := range []struct {
		path, setting string
		parse         keyParser
	}{
		{f.JWTSecretFile, "--jwt-secret-file ($JWT_SECRET_FILE)", strict(auth.ParseSecrets)},
		{f.JWTPublicKeyFile, "--jwt-public-key-file ($JWT_PUBLIC_KEY_FILE)", strict(auth.ParsePEM)},
		{f.JWKSFile, "--jwks-file ($JWKS_FILE)", auth.ParseJWKSet},
	} {
		if x.path == "" {
			continue
		}
		file := newKeyFile(x.path, s.keys, x.parse)
		if err := file.open(); err != nil {
			return s, fmt.Errorf("%s: %w", x.setting, err)
		}
		s.files = append(s.files, file)
	}
	return s, nil
}

// A keyParser reads the keys of a file, and says why it leaves others out.
type keyParser func(text []byte) (keys []auth.Key, ignored []string, err error)

// strict makes a keyParser of a function that leaves no key out.
func strict(parse func(text []byte) ([]auth.Key, error)) keyParser {
	return func(text []byte) ([]auth.Key, []string, error) {
		keys, err := parse(text)
		return keys, nil, err
	}
}

// signingFlags name the key that signs tokens: a private key or else a secret.
type signingFlags struct {
	secretFlags
	JWTPrivateKeyFile string `name:"jwt-private-key-file" env:"JWT_PRIVATE_KEY_FILE" placeholder:"FILE" help:"Private key that signs tokens, in PEM, instead of a secret."`
}

// signer returns the signer of tokens, or nil if no key is configured.
func (f *signingFlags) signer() (signer *auth.Signer, err error) {
	if err := f.checkSecrets(); err != nil {
		return nil, err
	}
	switch {
	case f.JWTPrivateKeyFile != "":
		signer, err = signerOf(f.JWTPrivateKeyFile, "--jwt-private-key-file ($JWT_PRIVATE_KEY_FILE)", auth.PrivateSigner)
	case f.JWTSecretFile != "":
		signer, err = signerOf(f.JWTSecretFile, "--jwt-secret-file ($JWT_SECRET_FILE)", auth.SecretsSigner)
	case f.JWTSecret != "":
		if signer, err = auth.SecretSigner(f.JWTSecret); err != nil {
			err = fmt.Errorf("--jwt-secret ($JWT_SECRET): %w", err)
		}
	}
	return signer, err
}

func signerOf(path, setting string, parse func(text []byte) (*auth.Signer, error)) (*auth.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	signer, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", setting, path, err)
	}
	return signer, nil
}
