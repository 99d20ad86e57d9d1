package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Which packages of the module each package may depend on: cmd → transport → session →
// keyspace → actor, and the packages below transport know only what their jobs need.
var mayDependOn = map[string][]string{
	"rtdb/actor":                       {},
	"rtdb/keyspace":                    {"rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/keyspace/compact":            {},
	"rtdb/keyspace/journal":            {"rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/keyspace/jetstream":          {"rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/keyspace/storetest":          {"rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/keyspace/jetstream/natstest": {},
	"rtdb/session":                     {"rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/transport/rawjson":           {},
	"rtdb/transport/socket":            {},
	"rtdb/transport/guard":             {},
	"rtdb/transport/web":               {},
	"rtdb/transport/auth":              {"rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/transport/client":            {}, // it knows the server by the wire contract alone
	"rtdb/transport/transporttest":     {"rtdb/transport", "rtdb/transport/", "rtdb/session", "rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/transport":                   {"rtdb/transport/", "rtdb/session", "rtdb/keyspace", "rtdb/keyspace/compact", "rtdb/actor"},
	"rtdb/cmd/rtdb/bench":              {}, // it knows the server by the wire contract alone
	"rtdb/cmd/rtdb/transfer":           {}, // likewise
	"rtdb/cmd/rtdb/demo":               {"rtdb/transport/client"},
	"rtdb/cmd/rtdb/shellwords":         {},
	"rtdb/cmd/rtdb/terminal":           {},
	"rtdb/cmd/rtdb":                    {"rtdb/"},
}

// These packages import the standard library alone.
var standardOnly = []string{"rtdb/actor", "rtdb/keyspace/compact", "rtdb/transport/rawjson", "rtdb/cmd/rtdb/shellwords"}

func TestImportsGoOneWay(t *testing.T) {
	for _, pkg := range goList(t, "rtdb/...") {
		allowed, ok := mayDependOn[pkg]
		if !ok {
			t.Errorf("%s is not in the table of this test", pkg)
		}
		for _, dep := range goList(t, "-deps", pkg) {
			isAllowed := func(p string) bool { return dep == p || strings.HasSuffix(p, "/") && strings.HasPrefix(dep, p) }
			if strings.HasPrefix(dep, "rtdb/") && dep != pkg && !slices.ContainsFunc(allowed, isAllowed) {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
	for _, pkg := range standardOnly {
		others := goList(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
		if !slices.Equal(others, []string{pkg}) {
			t.Errorf("%s depends on %q, want the standard library alone", pkg, others)
		}
	}
}

// The NATS server is a tool for tests. The program has only its client.
func TestTheProgramHasNoNATSServer(t *testing.T) {
	for _, dep := range goList(t, "-deps", "rtdb/cmd/rtdb") {
		if strings.HasPrefix(dep, "github.com/nats-io/nats-server") || strings.HasSuffix(dep, "/natstest") {
			t.Errorf("the program depends on %s", dep)
		}
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %q: %v", args, err)
	}
	return strings.Fields(string(out))
}
