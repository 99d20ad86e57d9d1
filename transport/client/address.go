package client

import (
	"fmt"
	"net/url"
	"strings"
)

// An address has the URLs of a server's API.
type address struct {
	base   *url.URL // http or https; the API's paths come below its path
	socket string   // URL of the WebSocket, for coder/websocket
}

func parseAddress(text string) (address, error) {
	const want = "use a URL like http://localhost:8080 or wss://db.example.com"
	u, err := url.Parse(text)
	if err != nil {
		return address{}, fmt.Errorf("rtdb: the server's URL does not parse: %w: %s", err, want)
	}
	shown := u.Redacted()
	switch u.Scheme {
	case "http", "https":
	case "ws", "wss":
		u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/ws"), ""
	default:
		return address{}, fmt.Errorf("rtdb: the server's URL %q does not begin with http, https, ws or wss: %s", shown, want)
	}
	switch {
	case u.Hostname() == "":
		return address{}, fmt.Errorf("rtdb: the server's URL %q has no host: %s", shown, want)
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return address{}, fmt.Errorf("rtdb: the server's URL %q has a user, a query or a fragment: leave them out, and give a token with WithToken", shown)
	}
	return address{base: u, socket: u.JoinPath("ws").String()}, nil
}
