package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"rtdb/keyspace"
	"rtdb/keyspace/journal"
	"rtdb/transport"
)

// These are the servers that the benchmarks compare. Each is this test binary in a process
// of its own, so that its CPU time can be told from that of its clients.

// serverVariable names the server that a process becomes.
const serverVariable = "RTDB_BENCHMARK_SERVER"

// directoryVariable names a directory in which the server may keep its state, the URL of NATS
// for the server node, or the address to which the tunnel leads.
const directoryVariable = "RTDB_BENCHMARK_DIRECTORY"

var servers = map[string]func(net.Listener) error{
	"rtdb":       serveRTDB,
	"always":     func(l net.Listener) error { return serveDurable(l, journal.Always) },
	"100ms":      func(l net.Listener) error { return serveDurable(l, 100*time.Millisecond) },
	"node":       serveNode,
	"library":    serveLibrary,
	"unmeasured": serveUnmeasured,
	"bare":       serveBare,
	"map":        serveMap,
	"reader":     serveReader,
	"echo":       serveEcho,
	"tunnel":     serveTunnel,
}

// init makes the process a server if serverVariable is set. Such a process runs neither
// TestMain nor tests.
func init() {
	name, ok := os.LookupEnv(serverVariable)
	if !ok {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		go func() {
			err := servers[name](l)
			fmt.Fprintf(os.Stderr, "the server %s: %v\n", name, err)
			os.Exit(1)
		}()
		fmt.Println(l.Addr())
		err = obey(os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// obey answers commands of the benchmark until its input ends.
func obey(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		switch lines.Text() {
		case "mallocs":
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Println(m.Mallocs)
		case "collect":
			debug.FreeOSMemory()
			fmt.Println(0)
		default:
			return fmt.Errorf("unknown command %q", lines.Text())
		}
	}
	return lines.Err()
}

func newServer() (*transport.Server, error) {
	ks, err := keyspace.Open(keyspace.Options{})
	if err != nil {
		return nil, err
	}
	return transport.NewServer(ks, transport.Options{FlushInterval: transport.DefaultFlushInterval}), nil
}

func serveRTDB(l net.Listener) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// serveDurable serves rtdb with a journal.
func serveDurable(l net.Listener, fsync time.Duration) error {
	j, err := journal.Open(os.Getenv(directoryVariable), journal.Options{Fsync: fsync})
	if err != nil {
		return err
	}
	ks, err := keyspace.Open(keyspace.Options{Store: j, Refuse: j.Room})
	if err != nil {
		return err
	}
	return transport.NewServer(ks, transport.Options{FlushInterval: transport.DefaultFlushInterval}).Serve(l)
}

// serveUnmeasured serves rtdb with metrics that count nothing.
func serveUnmeasured(l net.Listener) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	s.Unmeasure()
	return s.Serve(l)
}

// serveLibrary serves rtdb, but each update is a Write of the WebSocket library.
func serveLibrary(l net.Listener) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(s.ServeLibrary))
}

// serveMap serves writes to a map, which is the least that a server can do with them.
func serveMap(l net.Listener) error {
	m := &mapServer{values: make(map[string][]byte), version: uint64(time.Now().UnixMicro())}
	return http.Serve(l, m)
}

type mapServer struct {
	mu      sync.Mutex
	values  map[string][]byte
	version uint64
}

func (m *mapServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx := context.Background() // a context that can end would cost the library work
	for {
		_, message, err := ws.Read(ctx)
		if err != nil {
			return
		}
		q := transport.ParseRequest(message, transport.DefaultMaxValueBytes)
		if q.Err != nil || q.Action != "set" {
			return
		}
		m.mu.Lock()
		m.version++
		version := m.version
		m.values[q.Key] = q.Value
		m.mu.Unlock()
		reply := append([]byte(`{"id":`), q.ID...)
		reply = strconv.AppendUint(append(reply, `,"ok":true,"version":`...), version, 10)
		if ws.Write(ctx, websocket.MessageText, append(reply, '}')) != nil {
			return
		}
	}
}

// serveBare serves a loop that writes an update of key 0 to every subscriber when the
// publisher has sent a request, and does nothing else. A socket that does not take the
// whole update is an error.
func serveBare(l net.Listener) error {
	b := &bareServer{update: webSocketSpeaker{}.update(0)}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go b.serve(c)
	}
}

type bareServer struct {
	update []byte

	mu      sync.Mutex
	sockets []int
}

func (b *bareServer) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	q, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	publisher := strings.HasSuffix(q.URL.Path, "publish")
	if !publisher {
		_ = raw.Control(func(fd uintptr) { b.add(int(fd)) })
		defer func() { _ = raw.Control(func(fd uintptr) { b.remove(int(fd)) }) }()
	}
	if _, err := io.WriteString(c, handshakeAnswer); err != nil {
		return
	}
	if publisher {
		b.publish(r)
		return
	}
	_, _ = io.Copy(io.Discard, r)
}

func (b *bareServer) add(fd int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sockets = append(b.sockets, fd)
}

func (b *bareServer) remove(fd int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.sockets {
		if b.sockets[i] == fd {
			b.sockets = append(b.sockets[:i], b.sockets[i+1:]...)
			return
		}
	}
}

func (b *bareServer) publish(r io.Reader) {
	request := make([]byte, len(webSocketSpeaker{}.write(0)))
	for {
		if _, err := io.ReadFull(r, request); err != nil {
			return
		}
		b.mu.Lock()
		for _, fd := range b.sockets {
			n, err := syscall.Write(fd, b.update)
			if n != len(b.update) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				fmt.Fprintf(os.Stderr, "the bare server: %d of %d bytes written: %v\n", n, len(b.update), err)
				os.Exit(1)
			}
		}
		b.mu.Unlock()
	}
}

// handshakeAnswer is the bare server's answer to a handshake. Clients do not check it.
const handshakeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
