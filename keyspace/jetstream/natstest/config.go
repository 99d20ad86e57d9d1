package natstest

import (
	"fmt"
	"os"
	"path/filepath"
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
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n  sync_interval: %s\n  max_memory_store: 256MB\n  max_file_store: 4GB\n}\n", s.Dir(), sync)
	if len(c.servers) > 1 {
		fmt.Fprintf(&b, "cluster {\n  name: natstest\n  listen: %q\n  routes: [\n", s.routes.addr())
		for _, other := range c.servers {
			if other != s {
				fmt.Fprintf(&b, "    \"nats://%s\"\n", other.routes.addr())
			}
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
