package socket

import (
	"net"
	"path/filepath"
	"testing"
)

// A Unix socket is written to without blocking, and buffers little for a client that
// reads nothing.
func TestUnixSocketsHaveADescriptor(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var d descriptor
	d.open(conn)
	if !d.usable() {
		t.Fatal("there is no descriptor")
	}
	taken := 0
	for {
		n, err := d.tryWrite(make([]byte, 1000))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		taken += n
	}
	if taken < 4<<10 || taken > 4*maxUnsent {
		t.Errorf("the kernel takes %d bytes, want about %d", taken, maxUnsent)
	}
	d.close()
	if d.usable() {
		t.Error("the descriptor is used after close")
	}
}
