package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A healthCommand checks that a server is alive. It is for containers without any
// other program that could do it.
type healthCommand struct {
	addressFlags
	TLSCertFile string `name:"tls-cert-file" env:"TLS_CERT_FILE" placeholder:"FILE" help:"Set if the server uses TLS: the check then uses HTTPS."`
	URL         string `name:"url" placeholder:"URL" help:"Server to check, in place of --host and --port. Without a path, /healthz is used."`
}

const healthTimeout = 3 * time.Second

// AfterApply checks the address.
func (c *healthCommand) AfterApply() error { return c.addressFlags.check() }

// Run returns an error if the server is not alive.
func (c *healthCommand) Run() error {
	target, socket, err := c.target()
	if err != nil {
		return err
	}
	// No proxy: the check must reach the server itself.
	direct := &http.Transport{DisableKeepAlives: true}
	if c.URL == "" {
		// The certificate is for the server's public name, not for a local address.
		direct.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	if socket != "" {
		direct.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	client := http.Client{Timeout: healthTimeout, Transport: direct}
	shown := target
	if u, err := url.Parse(target); err == nil {
		shown = u.Redacted()
	}
	response, err := client.Get(target)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answered %s", shown, response.Status)
	}
	return nil
}

// target returns the URL of the health check, and the Unix socket to connect to, or "".
func (c *healthCommand) target() (address, socket string, err error) {
	if c.URL == "" {
		hostport, socket := c.client()
		scheme := "http://"
		if c.TLSCertFile != "" {
			scheme = "https://"
		}
		return scheme + hostport + "/healthz", socket, nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", "", fmt.Errorf("--url: expected a URL like http://localhost:8080 but got %q", c.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/healthz"
	}
	return u.String(), "", nil
}
