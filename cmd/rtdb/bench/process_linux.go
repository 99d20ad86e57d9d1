package bench

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A process is one of this machine, as proc(5) shows it.
type process struct {
	pid  int
	name string
}

// ticks is what a second of processor time is counted in by proc(5): USER_HZ,
// 100 on every architecture that Go runs on.
const ticks = 100

// findListener returns the process that listens at an address of this machine,
// or says why it is not to be seen.
func findListener(at netip.AddrPort) (*process, string) {
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		addListeners(inodes, table, at)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue // closed meanwhile, or another user's
		}
		inode, ok := strings.CutPrefix(target, "socket:[")
		if !ok || !inodes[strings.TrimSuffix(inode, "]")] {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil {
			continue
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue
		}
		p := &process{pid: pid, name: strings.TrimSpace(string(name))}
		if p.name == "docker-proxy" { // what it passes on to is behind it
			return nil, "in a container"
		}
		return p, ""
	}
	return nil, "another user's process, or in a container"
}

// addListeners adds the inodes of the sockets that listen at an address.
func addListeners(inodes map[string]bool, table string, at netip.AddrPort) {
	f, err := os.Open(table)
	if err != nil {
		return // no IPv6
	}
	defer f.Close()
	const listening = "0A"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		local, err := parseAddr(fields[1])
		if err != nil || local.Port() != at.Port() {
			continue
		}
		if local.Addr().IsUnspecified() || local.Addr().Unmap() == at.Addr().Unmap() {
			inodes[fields[9]] = true
		}
	}
}

// parseAddr reads an address as /proc/net/tcp has it: words of 32 bits in the
// order of the machine, which is little-endian wherever this is used.
func parseAddr(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	ip, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := 0; i+4 <= len(ip); i += 4 {
		ip[i], ip[i+1], ip[i+2], ip[i+3] = ip[i+3], ip[i+2], ip[i+1], ip[i]
	}
	addr, ok := netip.AddrFromSlice(ip)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("no address: %q", text)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// read says what the process has taken so far.
func (p *process) read() (r reading, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return r, err
	}
	// The name, in parentheses, may have spaces in it; behind it begins the
	// third field.
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return r, errors.New("unknown form of /proc/pid/stat")
	}
	const state, utime, stime, rss = 3, 14, 15, 24 // as proc(5) counts them
	if fields[0] == "Z" {
		return r, errors.New("the process has ended")
	}
	for _, field := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[field-state], 10, 64)
		if err != nil {
			return r, err
		}
		r.cpu += time.Duration(n) * time.Second / ticks
	}
	pages, err := strconv.ParseInt(fields[rss-state], 10, 64)
	r.memory = pages * int64(os.Getpagesize())
	return r, err
}
