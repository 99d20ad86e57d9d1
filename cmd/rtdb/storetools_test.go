package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tool runs a command that works on a directory, and wants the exit status and texts in its
// output.
func tool(t *testing.T, status int, args []string, want ...string) (printed string) {
	t.Helper()
	stdout, stderr, got := runToEnd(t, nil, args...)
	printed = stdout + stderr
	if got != status || (stderr != "") != (status != 0) || strings.Count(stderr, "\n") > 1 {
		t.Errorf("%q: exit %d with %q and %q, want %d", args, got, stdout, stderr, status)
	}
	for _, text := range want {
		if !strings.Contains(printed, text) {
			t.Errorf("%q prints %q, which lacks %q", args, printed, text)
		}
	}
	return printed
}

// A backup of a running server becomes another server's state.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "other")
	p := startKept(t, dir)
	for i := range 5 {
		p.write("PUT", fmt.Sprint("/data/k/", i), `{"value":1}`, 200)
	}
	p.write("DELETE", "/data/k/0", "", 204)
	file := filepath.Join(t.TempDir(), "rtdb.tar")
	copied := p.write("GET", "/backup", "", 200)
	if err := os.WriteFile(file, []byte(copied), 0o600); err != nil {
		t.Fatal(err)
	}
	p.write("PUT", "/data/later", `{"value":1}`, 200)
	last := versionOf(t, p.write("GET", "/data/later", "", 200))
	tool(t, 1, []string{"check", "--data-dir", dir}, fmt.Sprintf("process %d uses", p.cmd.Process.Pid))
	tool(t, 1, []string{"repair", "--data-dir", dir, "--yes"}, fmt.Sprintf("process %d uses", p.cmd.Process.Pid))
	epoch := p.await("state loaded", 1)[0]["epoch"].(string)
	p.stop()
	tool(t, 0, []string{"check", "--data-dir", dir}, dir+" is whole", "keys          5\n", "deletes       1 that", epoch, "the server was stopped")
	tool(t, 0, []string{"repair", "--data-dir", dir}, "nothing to repair")

	tool(t, 1, []string{"restore", "--from", file, "--data-dir", dir}, "choose an empty directory")
	half := filepath.Join(t.TempDir(), "half.tar")
	if err := os.WriteFile(half, []byte(copied[:len(copied)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, 1, []string{"restore", "--from", half, "--data-dir", other}, half)
	tool(t, 1, []string{"restore", "--from", "/none.tar", "--data-dir", other}, "--from: open /none.tar")
	restored := tool(t, 0, []string{"restore", "--from", file, "--data-dir", other}, other+" is restored", "keys          4\n")
	if strings.Contains(restored, epoch) {
		t.Errorf("the restored store has the epoch of the other: %s", restored)
	}
	p = startKept(t, other)
	p.write("GET", "/data/k/1", "", 200)
	p.write("GET", "/data/k/0", "", 404)
	p.write("GET", "/data/later", "", 404)
	if v := versionOf(t, p.write("PUT", "/data/k/1", `{"value":2}`, 200)); v <= last {
		t.Errorf("version %d, but clients of the other server know %d", v, last)
	}
	p.stop()
}

// A repair lists the losses, changes nothing without --yes, and keeps the rest.
func TestARepair(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startKept(t, dir)
	var versions []uint64
	for i := range 9 { // each is a frame
		versions = append(versions, versionOf(t, p.write("PUT", fmt.Sprint("/data/k/", i), `{"value":1}`, 200)))
	}
	p.stop()
	segment := filepath.Join(dir, "0000000001.log")
	alter(t, segment, func(b []byte) { b[bytes.Index(b, []byte("k/4"))] ^= 1 }) // not a frame that has no write
	tool(t, 1, []string{"check", "--data-dir", dir}, segment+" is damaged at offset ", "rtdb repair --data-dir "+dir)
	plan := tool(t, 1, []string{"repair", "--data-dir", dir}, segment, "the write with version", "It keeps 8 keys", "nothing was changed", "--yes")
	lost := -1
	for i, v := range versions {
		if strings.Contains(plan, fmt.Sprintf("the write with version %d\n", v)) {
			lost = i
		}
	}
	if lost < 0 {
		t.Fatalf("the plan does not name one of the versions %v: %s", versions, plan)
	}
	tool(t, 1, []string{"check", "--data-dir", dir}, "damaged")
	tool(t, 0, []string{"repair", "--data-dir", dir, "--yes"}, "The damaged files are in "+dir)
	tool(t, 0, []string{"check", "--data-dir", dir}, "is whole", "keys          8\n")
	if kept, err := filepath.Glob(filepath.Join(dir, "damaged-*", "0000000001.log")); err != nil || len(kept) != 1 {
		t.Errorf("the damaged files are %v, %v", kept, err)
	}
	p = startKept(t, dir)
	for i := range versions {
		want := 200
		if i == lost {
			want = 404
		}
		p.write("GET", fmt.Sprint("/data/k/", i), "", want)
	}
	p.stop()
}

func TestToolsOnOtherDirectories(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, command := range []string{"check", "repair"} {
		tool(t, 1, []string{command, "--data-dir", none}, none)
		tool(t, 1, []string{command, "--data-dir", t.TempDir()}, "has no store")
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a directory was made")
	}
	tool(t, 2, []string{"check"}, "--data-dir")
}

// The manual has the metrics of a store, and no others.
func TestTheManualHasTheMetricsOfAStore(t *testing.T) {
	t.Parallel()
	names := func(text, pattern string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	p := startKept(t, t.TempDir())
	served := names(p.write("GET", "/metrics", "", 200), `# TYPE (rtdb_store_\w+) `)
	p.stop()
	if listed := names(readManual(t, operatorManual), "`(rtdb_store_\\w+)`"); !slices.Equal(listed, served) || len(served) < 12 {
		t.Errorf("%s lists\n%q, and the server has\n%q", operatorManual, listed, served)
	}
}
