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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A timer waits with a precision of microseconds. A timer of package time may fire a
// millisecond late, because the timeout of Go's poller is in whole milliseconds, and
// bench would count that delay as the server's latency. So this timer uses a
// timerfd(2): the poller reports it on time, like data on a socket.
type timer struct {
	file  *os.File // nil if no timerfd could be created
	plain *plainTimer
}

func newTimer() *timer {
	t := &timer{plain: newPlainTimer()}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err == nil {
		t.file = os.NewFile(uintptr(fd), "timerfd")
	}
	return t
}

// wait returns when d has passed or the timer is closed.
func (t *timer) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	if t.file == nil {
		t.plain.wait(d)
		return
	}
	raw, err := t.file.SyscallConn()
	if err != nil {
		return // the timer is closed
	}
	var setErr error
	err = raw.Control(func(fd uintptr) {
		setErr = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}, nil)
	})
	switch {
	case err != nil: // the timer is closed
	case setErr != nil:
		t.plain.wait(d)
	default:
		var expirations [8]byte
		_, _ = t.file.Read(expirations[:]) // it fails only if the timer is closed
	}
}

// close ends a wait. Any goroutine may call it, more than once.
func (t *timer) close() {
	t.plain.close()
	if t.file != nil {
		_ = t.file.Close()
	}
}

// limitSocketBuffers limits the bytes that the kernel holds for a slow client, at both
// ends of the connection. It is the Control function of a net.Dialer, so it is called
// before the dialer connects.
func limitSocketBuffers(_, _ string, c syscall.RawConn) error {
	var setErr error
	err := c.Control(func(fd uintptr) {
		setErr = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, slowBuffer),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, slowSegment),
		)
	})
	return errors.Join(err, setErr)
}

// A process is a process of this machine, read through proc(5).
type process struct {
	pid  int
	name string
}

// ticksPerSecond is USER_HZ, the unit of processor time in proc(5). It is 100 on every
// architecture that Go supports.
const ticksPerSecond = 100

// sample returns the current usage of the process. It fails if the process has ended.
func (p *process) sample() (s usageSample, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return s, err
	}
	// The second field is the name in parentheses, which may contain spaces. The third
	// field begins after the last closing parenthesis and a space.
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return s, fmt.Errorf("/proc/%d/stat has an unknown form", p.pid)
	}
	const state, utime, stime, rss = 3, 14, 15, 24 // numbers of the fields in proc(5)
	if fields[0] == "Z" {
		return s, errors.New("the process has ended")
	}
	for _, field := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[field-state], 10, 64)
		if err != nil {
			return s, err
		}
		s.cpu += time.Duration(n) * time.Second / ticksPerSecond
	}
	pages, err := strconv.ParseInt(fields[rss-state], 10, 64)
	s.memory = pages * int64(os.Getpagesize())
	return s, err
}

// findListener returns the process that listens at an address of this machine, or nil
// and the reason why it cannot be measured.
func findListener(at netip.AddrPort) (*process, string) {
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		addListeners(inodes, table, at)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is valid
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue // closed in the meantime, or the process belongs to another user
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
		if p.name == "docker-proxy" { // it only forwards to the server
			return nil, "the server runs in a container; run it outside of one to measure it"
		}
		return p, ""
	}
	return nil, "its process belongs to another user or runs in a container; run bench as the server's user"
}

// addListeners adds the inodes of the sockets that listen at an address.
func addListeners(inodes map[string]bool, table string, at netip.AddrPort) {
	f, err := os.Open(table)
	if err != nil {
		return // the system has no IPv6
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

// parseAddr reads an address in the form of /proc/net/tcp: words of 32 bits in the
// machine's byte order. It assumes a little-endian machine.
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
		return netip.AddrPort{}, fmt.Errorf("not an address: %q", text)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}
