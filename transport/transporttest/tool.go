package transporttest

import (
	"os"
	"os/exec"
	"testing"
)

// NeedTool skips the test if a program is not installed. If the environment variable CI is
// set, the test fails instead.
func NeedTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing", name)
	}
}
