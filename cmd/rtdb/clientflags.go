package main

import (
	"context"
	"errors"
	"os/signal"
	"syscall"

	"rtdb/cmd/rtdb/transfer"
)

// clientFlags are the server that a client command talks to.
type clientFlags struct {
	addressFlags
	URL   string `name:"url" env:"RTDB_URL" placeholder:"URL" help:"URL of the server, in place of --host and --port, such as https://db.example.com."`
	Token string `env:"RTDB_TOKEN" placeholder:"TOKEN" help:"Access token (JSON Web Token)."`
}

// check returns an error if the address is wrong.
func (f *clientFlags) check() error {
	switch err := f.addressFlags.check(); {
	case f.URL == "" && err != nil:
		return err
	case f.URL == "" && f.Port == 0:
		return errors.New("--port ($PORT): expected the port of a server that runs but got 0")
	}
	return nil
}

// address returns the URL of the server, and the path of the Unix socket to connect to,
// or "".
func (f *clientFlags) address() (url, socket string) {
	if f.URL != "" {
		return f.URL, ""
	}
	hostport, socket := f.client()
	return "http://" + hostport, socket
}

// server returns the server of a transfer.
func (f *clientFlags) server() transfer.Server {
	url, socket := f.address()
	return transfer.Server{URL: url, Socket: socket, Token: f.Token}
}

// checkTransfer returns an error if the server of a transfer is wrong.
func (f *clientFlags) checkTransfer() error {
	if err := f.check(); err != nil {
		return err
	}
	return f.server().Validate()
}

// untilSignal returns a context that the first signal ends. The next signal ends the
// process.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
