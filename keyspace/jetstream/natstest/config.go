package natstest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func (s *Server) configPath() string { return filepath.Join(s.dir, "nats.conf") }

// writeConfig writes the server's configuration file. all are the servers of its cluster.
func (s *Server) writeConfig(all []*Server, o Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %q\nlisten: %q\n", s.name, s.client.addr())
	sync := "always"
	if o.Lazy {
		sync = "2m"
	}
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n  sync_interval: %s\n  max_memory_store: 256MB\n  max_file_store: 4GB\n}\n", s.Dir(), sync)
	if len(all) > 1 {
		fmt.Fprintf(&b, "cluster {\n  name: natstest\n  listen: %q\n  routes: [\n", s.routes.addr())
		for _, other := range all {
			if other != s {
				fmt.Fprintf(&b, "    \"nats://%s\"\n", other.routes.addr())
			}
		}
		b.WriteString("  ]\n}\n")
	}
	b.WriteString(o.Config + "\n")
	return os.WriteFile(s.configPath(), []byte(b.String()), 0o600)
}
