package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Each package may import what stands right of it, never left.
func TestImportsGoOneWay(t *testing.T) {
	order := []string{"rtdb/cmd/rtdb", "rtdb/cmd/rtdb/bench", "rtdb/transport", "rtdb/transport/auth", "rtdb/session", "rtdb/keyspace", "rtdb/actor"}
	for i, pkg := range order {
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			if !strings.HasPrefix(dep, "rtdb/") {
				continue
			}
			if at := slices.Index(order, dep); at < i {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
	// The bench knows the server by the wire contract alone.
	out, err := exec.Command("go", "list", "-deps", "rtdb/cmd/rtdb/bench").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(dep, "rtdb/") && dep != "rtdb/cmd/rtdb/bench" {
			t.Errorf("rtdb/cmd/rtdb/bench imports %s", dep)
		}
	}
	out, err = exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "rtdb/actor").Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "rtdb/actor" {
		t.Errorf("actor depends on %q (%v), want the standard library alone", got, err)
	}
}
