package client_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

// The program of the README, outside this repository: its go.mod replaces rtdb by a path.
func TestAProgramOutsideTheRepository(t *testing.T) {
	transporttest.NeedTool(t, "go")
	t.Parallel()
	root := must(filepath.Abs("../.."))
	module, program := readmeProgram(t, filepath.Join(root, "README.md"))
	s := transporttest.NewServer(t, transport.Options{})
	must(client.Set(timeout(t), dial(t, s.URL()), "temperature", 22.5))

	dir := t.TempDir()
	module = strings.Replace(module, "../rtdb", root, 1)
	program = strings.Replace(program, "http://localhost:8080", s.URL(), 1)
	for name, text := range map[string]string{
		"go.mod": "module example.com/thermometer\n\ngo 1.26.0\n\n" + module, "main.go": program,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "thermometer", ".")
	build.Dir = dir
	// The modules are in the cache, because this repository uses them: nothing is downloaded.
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	run := exec.CommandContext(t.Context(), filepath.Join(dir, "thermometer"))
	run.Stderr = os.Stderr
	out := must(run.StdoutPipe())
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "temperature 22.5\n" {
		t.Errorf("the program printed %q, %v", line, err)
	}
}

// readmeProgram returns the lines of the go.mod and the program in the section Clients.
func readmeProgram(t *testing.T, file string) (module, program string) {
	_, text, _ := strings.Cut(string(must(os.ReadFile(file))), "\n## Clients\n")
	_, text, _ = strings.Cut(text, "```\nrequire rtdb")
	module, text, _ = strings.Cut(text, "```")
	_, text, _ = strings.Cut(text, "```go\n")
	program, _, _ = strings.Cut(text, "```")
	if program == "" {
		t.Fatalf("%s has no go.mod and program in the section Clients", file)
	}
	return "require rtdb" + module, program
}
