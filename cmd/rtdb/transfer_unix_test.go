//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A transfer reaches a server on a Unix socket as bench does.
func TestTransfersOverAUnixSocket(t *testing.T) {
	t.Parallel()
	socket := "unix:" + filepath.Join(socketDir(t), "rtdb.sock")
	p := start(t, nil, "--host", socket)
	const line = `{"key":"a","value":1}` + "\n"
	if _, errs, status := runWithInput(t, nil, strings.NewReader(line), "import", "--host", socket); status != 0 {
		t.Fatalf("import: exit %d with %s", status, errs)
	}
	if out, errs, status := runToEnd(t, []string{"HOST=" + socket}, "export"); status != 0 || out != line {
		t.Errorf("export: exit %d with %q %q", status, out, errs)
	}
	p.stop()
}
