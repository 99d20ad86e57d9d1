package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rtdb/transport/transporttest"
)

// recipeDir makes a directory with the programs that the recipes run, and returns it with the
// environment of a shell.
func recipeDir(t *testing.T) (dir string, env []string) {
	t.Helper()
	out, err := exec.Command("go", "tool", "-n", "nats-server").Output()
	if err != nil {
		t.Fatalf("build nats-server: %v", err)
	}
	dir = t.TempDir()
	for name, program := range map[string]string{"nats-server": string(bytes.TrimSpace(out)), "rtdb": os.Args[0]} {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, append(os.Environ(), runAsRTDB+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
}

// freePorts returns numbers to each of which 1, 2 and 3 can be appended to get a free port.
// They are below those that the system gives to others.
func freePorts(t *testing.T, n int) (prefixes []string) {
	t.Helper()
	for range 1000 {
		prefix := fmt.Sprint(1100 + rand.IntN(2000))
		isFree := !slices.Contains(prefixes, prefix)
		for i := 1; i <= 3; i++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+prefix+fmt.Sprint(i))
			if err != nil {
				isFree = false
				continue
			}
			_ = l.Close()
		}
		if isFree {
			if prefixes = append(prefixes, prefix); len(prefixes) == n {
				return prefixes
			}
		}
	}
	t.Fatal("no free ports")
	return nil
}

// The script of the manual makes three NATS servers and three nodes that share a state.
func TestTheRecipeOnOneMachine(t *testing.T) {
	t.Parallel()
	dir, env := recipeDir(t)
	ports := freePorts(t, 3)
	adapt := strings.NewReplacer(":422", ":"+ports[0], ":622", ":"+ports[1], "localhost:808", "localhost:"+ports[2], "--port 808", "--port "+ports[2]).Replace
	script := exec.Command("sh", "-ec", adapt(manualBlock(t, "sh", "nats-$n.conf")))
	script.Dir, script.Env = dir, env
	script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := script.Run(); err != nil { // its output would be that of its processes, too
		t.Fatalf("the script: %v", err)
	}
	t.Cleanup(func() { // the processes that the script has started, and no others, are in its group
		_ = syscall.Kill(-script.Process.Pid, syscall.SIGKILL)
		for n := 1; n <= 3 && t.Failed(); n++ {
			for _, file := range []string{"nats", "node"} {
				log, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s-%d.log", file, n)))
				t.Logf("%s-%d.log:\n%s", file, n, log)
			}
		}
	})
	for n := 1; n <= 3; n++ {
		transporttest.Eventually(t, fmt.Sprintf("node %d is ready", n), func() bool {
			answer, err := http.Get(fmt.Sprintf("http://localhost:%s%d/readyz", ports[2], n))
			if err != nil {
				return false
			}
			_ = answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		})
	}
	commands := adapt(manualBlock(t, "sh", "rtdb set --url"))
	transporttest.Eventually(t, "a write on one node is read on another", func() bool {
		c := exec.Command("sh", "-ec", commands)
		c.Env = env
		out, err := c.Output()
		return err == nil && strings.HasSuffix(string(out), "\n21.50\n")
	})
	http.DefaultClient.CloseIdleConnections()
}

// NATS accepts the configurations of the manual, and rtdb knows the variables of its
// manifests.
func TestTheConfigurationsOfTheNodeManual(t *testing.T) {
	t.Parallel()
	dir, env := recipeDir(t)
	env = append(env, "NATS_NAME=nats-1", "RTDB_PASSWORD=a", "ADMIN_PASSWORD=b")
	checked := 0
	inManifest := regexp.MustCompile(`(?s)  nats.conf: \|\n(.*?)\n---`)
	for _, b := range manualBlocks(t, nodeManual) {
		text := strings.Join(b.lines, "\n")
		if m := inManifest.FindStringSubmatch(text); m != nil {
			text = m[1]
		} else if b.kind != "conf" {
			continue
		}
		file := filepath.Join(dir, "test.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(filepath.Join(dir, "nats-server"), "-t", "-c", file)
		c.Env = env
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, text)
		}
		checked++
	}
	if checked != 3 {
		t.Errorf("%d configurations, want 3", checked)
	}

	help, _, _ := runToEnd(t, nil, "--help")
	variable := regexp.MustCompile(`(?m)(?:^ +|- name: |[{,] *)([A-Z][A-Z_]{3,})(?::|$)`)
	found := variable.FindAllStringSubmatch(manualBlock(t, "yaml", "kind: Deployment")+manualBlock(t, "yaml", "services:"), -1)
	for _, m := range found {
		if m[1] != "NATS_NAME" && !strings.Contains(help, "[$"+m[1]+"]") {
			t.Errorf("rtdb has no variable %s", m[1])
		}
	}
	if len(found) < 12 {
		t.Errorf("only %d variables", len(found))
	}
}

// The manual has the metrics of a node, and no others, and each line of its log.
func TestTheNodeManualIsComplete(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"NATS_URL=nats://127.0.0.1:1"})
	metrics := p.write("GET", "/metrics", "", 200)
	p.stop()
	names := func(text, pattern string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	served := names(metrics, `# TYPE (rtdb_cluster_\w+) `)
	if listed := names(readManual(t, nodeManual), "`(rtdb_cluster_\\w+)`"); !slices.Equal(listed, served) || len(served) < 12 {
		t.Errorf("%s lists\n%q, and a node has\n%q", nodeManual, listed, served)
	}
	alerts, err := os.ReadFile("../../transport/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, advice, _ := strings.Cut(readManual(t, nodeManual), "\n## Lines and alerts\n")
	all := append(names(string(alerts), `alert: (RtdbNode\w+)`), names(readManual(t, operatorManual), "(?m)^\\| `((?:waiting for the )?cluster[^`]*)`")...)
	for _, name := range all {
		if !strings.Contains(advice, "`"+name+"`") && name != "cluster caught up" && name != "cluster agrees" {
			t.Errorf("%s does not say what to do about %s", nodeManual, name)
		}
	}
	if len(all) < 12 {
		t.Errorf("only %q are listed", all)
	}
	for _, alert := range names(advice, "`(Rtdb\\w+)`") {
		if !strings.Contains(string(alerts), "alert: "+alert+"\n") {
			t.Errorf("there is no alert %s", alert)
		}
	}
}
