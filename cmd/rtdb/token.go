package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"rtdb/transport/auth"
)

// A tokenCommand makes tokens and looks into them.
type tokenCommand struct {
	Make    makeToken    `cmd:"" default:"withargs" help:"Make a token, and print it."`
	Inspect inspectToken `cmd:"" help:"Print what a token says, and whether the configured key accepts it: exit 0 if it does, or if there is no key."`
}

type makeToken struct {
	Read           []string      `sep:"none" placeholder:"PATTERN" help:"Keys to read and to subscribe to, such as devices/#. May repeat, as the next ones."`
	Write          []string      `sep:"none" placeholder:"PATTERN" help:"Keys to write and to delete."`
	Listen         []string      `sep:"none" placeholder:"PATTERN" help:"Topics to subscribe to."`
	Publish        []string      `sep:"none" placeholder:"PATTERN" help:"Topics to publish to."`
	Admin          bool          `help:"Metrics, sessions, profiles."`
	TTL            time.Duration `name:"ttl" default:"1h" help:"How long it is good."`
	Subject        string        `help:"Whom it is for, for your own use."`
	PrivateKeyFile string        `name:"jwt-private-key-file" env:"JWT_PRIVATE_KEY_FILE" placeholder:"FILE" help:"Private key to sign with, in PEM. Without it --jwt-secret signs."`
}

type inspectToken struct {
	Token string `arg:"" optional:"" default:"-" help:"The token; - is standard input."`
}

func (c *makeToken) run(secret string, stdout io.Writer) error {
	if c.TTL < time.Second {
		return fmt.Errorf("--ttl: expected no less than 1s but got %v", c.TTL)
	}
	signer, err := c.signer(secret)
	if err != nil {
		return err
	}
	grants := auth.Grants{Read: c.Read, Write: c.Write, Listen: c.Listen, Publish: c.Publish, Admin: c.Admin}
	token, err := signer.Sign(c.Subject, grants, c.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, token)
	return err
}

func (c *makeToken) signer(secret string) (*auth.Signer, error) {
	switch {
	case c.PrivateKeyFile != "":
		text, err := os.ReadFile(c.PrivateKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--jwt-private-key-file ($JWT_PRIVATE_KEY_FILE): %w", err)
		}
		signer, err := auth.PrivateSigner(text)
		if err != nil {
			return nil, fmt.Errorf("--jwt-private-key-file ($JWT_PRIVATE_KEY_FILE): %s: %w", c.PrivateKeyFile, err)
		}
		return signer, nil
	case secret == "":
		return nil, errors.New("a token needs --jwt-secret ($JWT_SECRET) or --jwt-private-key-file ($JWT_PRIVATE_KEY_FILE)")
	}
	signer, err := auth.SecretSigner(secret)
	if err != nil {
		return nil, fmt.Errorf("--jwt-secret ($JWT_SECRET): %w", err)
	}
	return signer, nil
}

// run prints what the token says. That a key does not accept it is the error.
func (c *inspectToken) run(keys *auth.Keys, stdout io.Writer) error {
	token := c.Token
	if token == "-" {
		text, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
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
	out := json.NewEncoder(stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(inspection); err != nil {
		return err
	}
	if keys == nil {
		return nil
	}
	_, err = keys.Verify(token)
	return err
}
