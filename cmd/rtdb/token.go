package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"rtdb/transport/auth"
)

// A tokenCommand makes access tokens and inspects them.
type tokenCommand struct {
	Make    makeToken    `cmd:"" default:"withargs" help:"Make a token and print it (the default)."`
	Inspect inspectToken `cmd:"" help:"Print a token's claims. Exit status 0 if a key accepts it, or if no key is configured."`
}

// A makeToken is the command that makes a token.
type makeToken struct {
	Read    []string      `group:"grants" sep:"none" placeholder:"PATTERN" help:"Keys to read and to subscribe to, such as devices/#."`
	Write   []string      `group:"grants" sep:"none" placeholder:"PATTERN" help:"Keys to write and to delete."`
	Listen  []string      `group:"grants" sep:"none" placeholder:"PATTERN" help:"Topics to subscribe to."`
	Publish []string      `group:"grants" sep:"none" placeholder:"PATTERN" help:"Topics to publish to."`
	Admin   bool          `group:"grants" help:"Metrics, sessions, topics, log level and profiles."`
	TTL     time.Duration `group:"token" name:"ttl" default:"1h" help:"Time until the token expires."`
	Subject string        `group:"token" placeholder:"NAME" help:"Name of the token's user. The log and the list of sessions show it."`

	Audience string `group:"token" env:"JWT_AUDIENCE" placeholder:"NAME" help:"Claim aud, if the server asks for an audience."`
	Issuer   string `group:"token" env:"JWT_ISSUER" placeholder:"NAME" help:"Claim iss, if the server asks for an issuer."`
	KeyID    string `group:"token" name:"key-id" placeholder:"ID" help:"Header kid: the ID of the key in the server's JWK Set."`

	signingFlags `group:"signing"`

	tokens *auth.Signer // nil if no key is configured
}

// AfterApply reads the key.
func (c *makeToken) AfterApply() (err error) {
	c.tokens, err = c.signer()
	return err
}

// Run prints a new token.
func (c *makeToken) Run(s *streams) error {
	switch {
	case c.TTL < time.Second:
		return fmt.Errorf("--ttl: expected no less than 1s but got %v", c.TTL)
	case c.tokens == nil:
		return errors.New("a token needs --jwt-secret ($JWT_SECRET), --jwt-secret-file ($JWT_SECRET_FILE) or --jwt-private-key-file ($JWT_PRIVATE_KEY_FILE)")
	}
	grants := auth.Grants{Read: c.Read, Write: c.Write, Listen: c.Listen, Publish: c.Publish, Admin: c.Admin}
	c.tokens.Audience, c.tokens.Issuer, c.tokens.KeyID = c.Audience, c.Issuer, c.KeyID
	token, err := c.tokens.Sign(c.Subject, grants, c.TTL)
	if err != nil {
		return err
	}
	if len(c.Read)+len(c.Write)+len(c.Listen)+len(c.Publish) == 0 && !c.Admin {
		s.note("token: it grants nothing: use --read, --write, --listen, --publish or --admin")
	}
	_, err = fmt.Fprintln(s.out, token)
	return err
}

// An inspectToken is the command that prints the contents of a token.
type inspectToken struct {
	keyFlags
	Token string `arg:"" optional:"" default:"-" help:"Token to inspect. - reads it from standard input."`

	verifier keySources
}

// AfterApply reads the keys.
func (c *inspectToken) AfterApply() (err error) {
	c.verifier, err = c.sources()
	return err
}

// maxTokenBytes is the most that Run reads from standard input.
const maxTokenBytes = 1 << 20

// Run prints the token's claims. It returns an error if the configured keys do not
// accept the token.
func (c *inspectToken) Run(s *streams) error {
	token := c.Token
	if token == "-" {
		text, err := io.ReadAll(io.LimitReader(s.in, maxTokenBytes))
		if err != nil {
			return err
		}
		token = string(text)
	}
	token = strings.TrimSpace(token)
	inspection, err := auth.Inspect(token)
	if err != nil {
		return err
	}
	out := json.NewEncoder(s.out)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(inspection); err != nil {
		return err
	}
	if c.verifier.keys == nil {
		return nil
	}
	if err := c.verifier.fetch(context.Background()); err != nil {
		return err
	}
	_, err = c.verifier.keys.Verify(token)
	return err
}
