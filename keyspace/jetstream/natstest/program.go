package natstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// build returns the path of nats-server in the build cache of the go command, which builds
// the program if it is not there.
var build = sync.OnceValues(func() (string, error) {
	release, err := lockModule()
	if err != nil {
		return "", err
	}
	defer release()
	cmd := exec.Command("go", "tool", "-n", "nats-server")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build nats-server with %q: %w\n%s", cmd.Args, err, stderr.Bytes())
	}
	return string(bytes.TrimSpace(out)), nil
})

// lockModule lets one process at a time build. Otherwise each package's tests would compile
// all of nats-server, if they begin while the build cache does not have it. The lock is on
// the module's folder, because the go command itself locks the file go.mod.
func lockModule() (release func(), err error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return nil, errors.New("no folder above the test's one has a go.mod: run the test by go test in the module rtdb")
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil // which ends the lock
}
