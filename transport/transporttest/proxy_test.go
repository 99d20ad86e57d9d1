package transporttest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rtdb/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends back every line, after a prefix.
func echo(t *testing.T, prefix string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := io.WriteString(c, prefix+lines.Text()+"\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A conn is a client's connection.
type conn struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, p *transporttest.Proxy) *conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &conn{c, bufio.NewReader(c)}
}

// ask sends a line and returns the one that comes back in time.
func (c *conn) ask(line string, patience time.Duration) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return c.hear(patience)
}

func (c *conn) hear(patience time.Duration) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c.lines.ReadString('\n')
}

func TestAProxySpoilsConnections(t *testing.T) {
	const long, short = 10 * time.Second, 50 * time.Millisecond
	p := transporttest.NewProxy(t, echo(t, "a:"))
	want := func(c *conn, line, reply string) {
		t.Helper()
		if got, err := c.ask(line, long); got != reply+"\n" || err != nil {
			t.Errorf("%s: got %q, %v, want %q", line, got, err, reply)
		}
	}
	c := dial(t, p)
	want(c, "1", "a:1")

	p.Stall(true)
	if got, err := c.ask("2", short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: got %q, %v", got, err)
	}
	p.Stall(false)
	if got, err := c.hear(long); got != "a:2\n" || err != nil {
		t.Errorf("after the stall: got %q, %v", got, err)
	}

	p.Swallow(true)
	if got, err := c.ask("3", short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("swallowed: got %q, %v", got, err)
	}
	p.Swallow(false)
	want(c, "4", "a:4")

	p.Delay(short)
	began := time.Now()
	want(c, "5", "a:5")
	if took := time.Since(began); took < 2*short {
		t.Errorf("delayed twice by %v, and back after %v", short, took)
	}
	p.Delay(0)

	p.Retarget(echo(t, "b:"))
	want(c, "6", "a:6")
	want(dial(t, p), "7", "b:7")

	p.Cut()
	if _, err := c.hear(long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("cut: %v", err)
	}
	p.Refuse(true)
	if _, err := dial(t, p).ask("8", long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("refused: %v", err)
	}
	p.Refuse(false)
	want(dial(t, p), "9", "b:9")
	if _, total := p.Connections(); total != 4 {
		t.Errorf("%d connections, want 4", total)
	}
}
