package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A healthCommand asks a server for its health, for a container that has no
// other program to do it with.
type healthCommand struct {
	URL string `name:"url" placeholder:"URL" help:"Of the server; by default made of --host and --port. Without a path it is that of the health check."`
}

const healthTimeout = 3 * time.Second

// run returns an error where the server is not alive.
func (h healthCommand) run(c config) error {
	target, err := h.target(c)
	if err != nil {
		return err
	}
	// Without proxies: it is this server that is asked, not its way out.
	way := &http.Transport{DisableKeepAlives: true}
	if h.URL == "" {
		// Its certificate is for other names than this machine's for itself.
		way.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	client := http.Client{Timeout: healthTimeout, Transport: way}
	shown := target
	if u, err := url.Parse(target); err == nil {
		shown = u.Redacted()
	}
	answer, err := client.Get(target)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answered %s", shown, answer.Status)
	}
	return nil
}

func (h healthCommand) target(c config) (string, error) {
	if h.URL == "" {
		host := strings.TrimSuffix(strings.TrimPrefix(c.Host, "["), "]")
		switch ip := net.ParseIP(host); {
		case strings.EqualFold(host, "localhost"), ip != nil && ip.IsUnspecified() && ip.To4() != nil:
			host = "127.0.0.1" // an image may have no resolver
		case ip != nil && ip.IsUnspecified():
			host = "::1"
		}
		scheme := "http://"
		if c.TLSCertFile != "" {
			scheme = "https://"
		}
		return scheme + net.JoinHostPort(host, strconv.Itoa(c.Port)) + "/healthz", nil
	}
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("--url: expected one like http://localhost:8080 but got %q", h.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/healthz"
	}
	return u.String(), nil
}
