package transport_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// startProgram starts a program that is not this binary, and waits until it accepts
// connections at an address. Its output goes to a file, of which the benchmark prints the end
// if it fails.
func startProgram(b *testing.B, address, path string, args ...string) *child {
	b.Helper()
	output, err := os.Create(filepath.Join(b.TempDir(), "output"))
	if err != nil {
		b.Fatal(err)
	}
	c := &child{process: exec.Command(path, args...), address: address}
	c.process.Stdout, c.process.Stderr = output, output
	c.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	b.Cleanup(func() { // after the program has ended
		_ = output.Close()
		if text, err := os.ReadFile(output.Name()); b.Failed() && err == nil {
			b.Logf("the output of %s ends:\n%s", path, text[max(0, len(text)-4<<10):])
		}
	})
	c.start(b)
	for end := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		k, err := net.Dial("tcp", address)
		if err == nil {
			_ = k.Close()
			return c
		}
		if time.Now().After(end) {
			b.Fatalf("%s does not accept connections: %v", path, err)
		}
	}
}

// freeAddress returns an address at which nothing listens.
func freeAddress(b *testing.B) (address, port string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	address = l.Addr().String()
	_, port, err = net.SplitHostPort(address)
	if err != nil {
		b.Fatal(err)
	}
	return address, port
}

// startRedis starts Redis with settings, besides those that keep nothing. It returns nil if
// Redis is not installed.
func startRedis(b *testing.B, settings ...string) *child {
	b.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		b.Log("there is no redis-server to compare with")
		return nil
	}
	address, port := freeAddress(b)
	return startProgram(b, address, path, slices.Concat([]string{"--bind", "127.0.0.1", "--port", port,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", b.TempDir()}, settings)...)
}

// buildRTDB builds the program rtdb, and returns its path.
func buildRTDB(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "rtdb")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "rtdb/cmd/rtdb")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", build, err, text)
	}
	return path
}

// startRTDB starts the program that buildRTDB has built, with its usual settings and flags.
func startRTDB(b *testing.B, path string, flags ...string) *child {
	b.Helper()
	address, port := freeAddress(b)
	return startProgram(b, address, path, append([]string{"serve", "--host", "127.0.0.1", "--port", port}, flags...)...)
}

// startDurableRTDB starts the program with a directory, and waits until the state is loaded.
func startDurableRTDB(b *testing.B, path, fsync string) *child {
	b.Helper()
	c := startRTDB(b, path, "--data-dir", b.TempDir(), "--fsync", fsync)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); ; <-time.After(time.Millisecond) {
		answer, err := client.Get("http://" + c.address + "/readyz")
		if err != nil {
			b.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return c
		}
		if time.Now().After(end) {
			b.Fatalf("rtdb is not ready: %s", answer.Status)
		}
	}
}
