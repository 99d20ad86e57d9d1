package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A benchReport is the part of the output of rtdb bench --json that programs read.
type benchReport struct {
	Writes      int64
	Deliveries  int64
	Conflated   int64
	Lost        int64
	Wrong       int64
	Latency     map[string]float64
	SlowLatency *struct {
		P50 float64 `json:"p50_ms"`
	} `json:"slow_latency"`
	ReceivedBytes int64 `json:"received_bytes"`
	Server        *struct {
		PID              int
		CPUSeconds       *float64 `json:"cpu_s"`
		CPUPerDelivery   *float64 `json:"cpu_per_delivery_us"`
		MemoryConnection *int64   `json:"memory_per_connection_bytes"`
		MemoryEnd        int64    `json:"memory_end_bytes"`
	}
}

// runBench runs rtdb bench --json against the server.
func runBench(t *testing.T, p *process, args ...string) benchReport {
	t.Helper()
	args = append([]string{"bench", "--json", "--url", p.url}, args...)
	stdout, stderr, status := runToEnd(t, nil, args...)
	if status != exitOK || stderr != "" {
		t.Fatalf("%v: exit status %d: %s", args, status, stderr)
	}
	var r benchReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return r
}

func TestBench(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	for name, args := range map[string]string{
		"by rate":             "--subscribers 20 --keys 10 --subscriptions 5 --rate 500 --duration 300ms",
		"at the highest rate": "--subscribers 20 --keys 10 --subscriptions 0 --rate 0 --duration 300ms",
		"with slow clients":   "--subscribers 20 --keys 2 --rate 200 --slow 25% --size 2000 --duration 300ms",
	} {
		t.Run(name, func(t *testing.T) {
			r := runBench(t, p, strings.Fields(args)...)
			if r.Writes == 0 || r.Lost != 0 || r.Wrong != 0 || r.ReceivedBytes == 0 {
				t.Errorf("got %+v, want something written and nothing lost", r)
			}
			for _, name := range []string{"p50_ms", "p99_ms", "p999_ms", "max_ms"} {
				if r.Latency[name] <= 0 {
					t.Errorf("%s is %v", name, r.Latency[name])
				}
			}
			fanout := int64(10)
			if strings.Contains(args, "--subscriptions 0") {
				fanout = 20
			}
			if r.Deliveries+r.Conflated != r.Writes*fanout {
				t.Errorf("%d delivered and %d conflated of %d writes to %d each", r.Deliveries, r.Conflated, r.Writes, fanout)
			}
			if slow := strings.Contains(args, "--slow"); slow != (r.SlowLatency != nil) {
				t.Errorf("the latency of slow clients is %v", r.SlowLatency)
			}
			if runtime.GOOS == "linux" {
				if s := r.Server; s == nil || s.PID != p.cmd.Process.Pid || s.CPUSeconds == nil || s.CPUPerDelivery == nil || s.MemoryConnection == nil || s.MemoryEnd == 0 {
					t.Errorf("the server is %+v, want its process", s)
				}
			}
		})
	}
	if _, list := p.call("GET", "/data?prefix=bench/", ""); list != `{"items":[]}` {
		t.Errorf("keys were left: %.200s", list)
	}
}

func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	c := command(nil, "bench", "--url", p.url, "--duration", "1h", "--rate", "100")
	var out strings.Builder
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer kill.Stop()
	for {
		if _, list := p.call("GET", "/data?prefix=bench/", ""); list != `{"items":[]}` {
			break // it writes
		}
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil || !strings.Contains(out.String(), "interrupted after") {
		t.Errorf("%v, and it printed\n%s", err, &out)
	}
	if _, list := p.call("GET", "/data?prefix=bench/", ""); list != `{"items":[]}` {
		t.Errorf("keys were left: %.200s", list)
	}
}

func TestBenchWhenTheServerDies(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	c := command(nil, "bench", "--url", p.url, "--duration", "1h", "--rate", "0", "--subscribers", "5")
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer kill.Stop()
	for {
		if _, list := p.call("GET", "/data?prefix=bench/", ""); list != `{"items":[]}` {
			break // it writes
		}
	}
	_ = p.cmd.Process.Kill()
	_ = c.Wait()
	if status := c.ProcessState.ExitCode(); status != exitFailure ||
		!strings.Contains(errs.String(), "9 connections ended before they should") || !strings.Contains(out.String(), "lost") {
		t.Errorf("exit status %d, and it printed\n%s%s", status, &out, &errs)
	}
}

func TestWrongBenchFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--url ftp://localhost":         "--url ($RTDB_URL): expected http, https, ws or wss",
		"--url localhost:8080":          "--url ($RTDB_URL): expected",
		"--keys 0":                      "--keys: expected 1 to",
		"--publishers 0":                "--publishers: expected 1 to",
		"--subscribers=-1":              "--subscribers: expected 0 to",
		"--subscriptions=-1":            "--subscriptions: expected no less than 0",
		"--rate=-1":                     "--rate: expected 0 to",
		"--rate=NaN":                    "--rate: expected 0 to",
		"--size 23":                     "--size: expected 24 to",
		"--duration 0s":                 "--duration: expected more than 0s",
		"--connections-per-second=-1":   "--connections-per-second: expected 0 to",
		"--slow 101%":                   "--slow: expected 0 to 1",
		"--slow some":                   "expected a share like 0.05 or 5%",
		"--duration 10":                 "--duration: ",
		"--subscribers 10 --nonsense 1": "unknown flag --nonsense",
	} {
		_, stderr, status := runToEnd(t, nil, append([]string{"bench"}, strings.Fields(args)...)...)
		if status != exitBadUsage || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d: %s; want 2 and one line with %q", args, status, stderr, want)
		}
	}
}
