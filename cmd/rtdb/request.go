package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"rtdb/transport/client"
)

// requestFlags are the flags of a command that asks the server once.
type requestFlags struct {
	clientFlags `group:"server"`
	Timeout     time.Duration `group:"server" default:"10s" help:"Longest time for the whole command."`
}

// check returns an error if a flag is wrong.
func (f *requestFlags) check() error {
	if f.Timeout <= 0 {
		return fmt.Errorf("--timeout: expected a duration above 0 but got %v", f.Timeout)
	}
	return f.checkServer()
}

// checkServer returns an error if the server of a client is wrong.
func (f *clientFlags) checkServer() error {
	if err := f.check(); err != nil {
		return err
	}
	if f.URL == "" {
		return nil
	}
	u, err := url.Parse(f.URL)
	switch {
	case err != nil, u.Hostname() == "", u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ws" && u.Scheme != "wss":
		shown := f.URL
		if err == nil {
			shown = u.Redacted()
		}
		return fmt.Errorf("--url ($RTDB_URL): expected a URL like http://localhost:8080 but got %q", shown)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return errors.New("--url ($RTDB_URL): the URL has a user, a query or a fragment: leave them out, and give a token by --token ($RTDB_TOKEN)")
	}
	return nil
}

// clientOptions returns the URL of the server and the options of a client.
func (f *clientFlags) clientOptions() (url string, all []client.Option) {
	url, socket := f.address()
	if socket != "" {
		all = append(all, client.WithSocket(socket))
	}
	if f.Token != "" {
		token := func(context.Context) (string, error) { return f.Token, nil }
		all = append(all, client.WithToken(token))
	}
	return url, all
}

// An errTimeout says that the time of a command is over.
type errTimeout struct{ after time.Duration }

func (e errTimeout) Error() string {
	return fmt.Sprintf("the server has not answered within %v: see --timeout", e.after)
}

var errInterrupted = errors.New("interrupted")

// run connects to the server and calls do. It gives up if the server does not answer in
// time, and after the first attempt to connect that fails: a person tries again, and a
// script decides.
func (f *requestFlags) run(do func(context.Context, *client.Client) error) error {
	signalled, stop := untilSignal()
	defer stop()
	return f.runUntil(signalled, do)
}

func (f *requestFlags) runUntil(signalled context.Context, do func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeoutCause(signalled, f.Timeout, errTimeout{f.Timeout})
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var opened atomic.Bool
	url, options := f.clientOptions()
	c, err := client.Dial(ctx, url, append(options, client.WithWriteTimeout(f.Timeout), client.OnState(func(s client.State, reason error) {
		switch {
		case s == client.Open:
			opened.Store(true)
		case s == client.Waiting && (!opened.Load() || errors.Is(reason, client.ErrNotRTDB)):
			fail(reason)
		}
	}))...)
	if err == nil {
		err = do(ctx, c)
		_ = c.Close() // it has nothing to tell
	}
	switch {
	case err == nil:
		return nil
	case signalled.Err() != nil:
		err = errInterrupted
	case ctx.Err() != nil && errors.Is(err, client.ErrUnknownOutcome):
		err = fmt.Errorf("%w: %w", client.ErrUnknownOutcome, context.Cause(ctx))
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return explainClient(err)
}

// explainClient puts an error of the client in words for the user of a command.
func explainClient(err error) error {
	text := withoutName.Replace(strings.TrimPrefix(err.Error(), packageName))
	var refused *client.Error
	switch {
	case errors.Is(err, errLogged):
		return errLogged
	case errors.Is(err, client.ErrUnknownOutcome):
		text += ": the write may have been made"
	case errors.Is(err, client.ErrUnauthorized):
		text += ": give a valid token by --token ($RTDB_TOKEN)"
	case errors.Is(err, client.ErrNotFound): // of the API itself
		text += ": check the path of --url ($RTDB_URL)"
	case errors.Is(err, client.ErrNotRTDB) || errors.As(err, &refused):
	case strings.Contains(text, "cannot reach "):
		text += ": check --url ($RTDB_URL), or --host and --port"
	}
	return clientError{err, text}
}

// packageName begins the errors of the client, as is the custom of Go's packages.
const packageName = "rtdb: "

var withoutName = strings.NewReplacer(": "+packageName, ": ", "with WithToken", "by --token ($RTDB_TOKEN)")

// A clientError is an error of the client with other words.
type clientError struct {
	error
	text string
}

func (e clientError) Error() string { return e.text }
func (e clientError) Unwrap() error { return e.error }
