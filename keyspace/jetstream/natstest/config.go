package natstest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (s *Server) configPath() string { return filepath.Join(s.dir, "nats.conf") }

// writeConfig writes the server's configuration file.
func (s *Server) writeConfig(c *Cluster, o Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %q\nlisten: %q\n", s.name, s.client.addr())
	sync := "always"
	if o.Lazy {
		sync = "2m"
	}
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n  sync_interval: %s\n  max_memory_store: 256MB\n  max_file_store: %s\n}\n",
		s.Dir(), sync, cmp.Or(o.Storage, "4GB"))
	if len(c.servers) > 1 {
		fmt.Fprintf(&b, "cluster {\n  name: natstest\n  listen: %q\n  no_advertise: %t\n", s.routes.addr(), o.Quiet)
		if o.Route != nil {
			// Servers tell each other their addresses. This one leads nowhere, so that
			// they use the routes that are given to them.
			b.WriteString("  advertise: \"127.0.0.1:1\"\n")
		}
		b.WriteString("  routes: [\n")
		for _, url := range s.routeURLs(c, o) {
			fmt.Fprintf(&b, "    %q\n", url)
		}
		b.WriteString("  ]\n}\n")
	}
	if t := c.certificate; t != nil {
		s.scheme = "tls"
		fmt.Fprintf(&b, "tls {\n  ca_file: %q\n  cert_file: %q\n  key_file: %q\n  verify: %t\n}\n", t.CA, t.Cert, t.Key, o.Verify)
	}
	b.WriteString(o.Config + "\n")
	return os.WriteFile(s.configPath(), []byte(b.String()), 0o600)
}

// routeURLs returns the addresses at which a server connects to the others.
func (s *Server) routeURLs(c *Cluster, o Options) (urls []string) {
	from := slices.Index(c.servers, s)
	for to, other := range c.servers {
		if other == s {
			continue
		}
		addr := other.routes.addr()
		if o.Route != nil {
			addr = o.Route(from, to, addr)
		}
		urls = append(urls, "nats://"+addr)
	}
	return urls
}
