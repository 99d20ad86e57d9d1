package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheShellManual runs the console blocks of the operator's manual, which call rtdb, and
// compares their output with the manual's.
func TestTheShellManual(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "rtdb")); err != nil {
		t.Fatal(err)
	}
	known := tour{}
	commands := 0
	for _, b := range manualBlocks(t, operatorManual) {
		if b.kind != "console" {
			continue
		}
		for _, step := range strings.Split("\n"+strings.Join(b.lines, "\n"), "\n$ ")[1:] {
			line, want, _ := strings.Cut(step, "\n")
			c := exec.Command("sh", "-c", known.request(line))
			c.Env = append(os.Environ(), runAsRTDB+"=1", "RTDB_URL="+p.url, "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := c.CombinedOutput()
			if got := strings.TrimSuffix(string(out), "\n"); err != nil || !known.same(got, want) {
				t.Errorf("%s: %v\ngot  %s\nwant %s", line, err, got, want)
			}
			commands++
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands found: does the test still find them all?", commands)
	}
}
