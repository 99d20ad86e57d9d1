package socket

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTextsBecomeChunks(t *testing.T) {
	long := strings.Repeat("x", 0x12345)
	for _, c := range []struct {
		chunked bool
		texts   []string
		want    string
	}{
		{true, []string{"a"}, "HEAD1\r\na\r\n"},
		{true, []string{""}, "HEAD"},
		{true, []string{"", "abcdefghijklmnop", ""}, "HEAD10\r\nabcdefghijklmnop\r\n"},
		{true, []string{"a", long, "b"}, "HEAD1\r\na\r\n12345\r\n" + long + "\r\n1\r\nb\r\n"},
		{false, []string{"a", "", "b"}, "HEADab"},
	} {
		s := &Stream{chunked: c.chunked}
		s.out.keep(&Frames{bytes: []byte("HEAD")})
		for _, text := range c.texts {
			s.out.keep(s.finish(append(s.Begin(), text...)))
		}
		if got := string(s.out.take().bytes); got != c.want {
			t.Errorf("%.40q become %.80q, want %.80q", c.texts, got, c.want)
		}
	}
}

func TestAHeartbeatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Heartbeat
		h.Stop()
		beats := 0
		h.Start(time.Second, func() { beats++ })
		time.Sleep(3500 * time.Millisecond)
		h.Stop()
		h.Stop()
		time.Sleep(time.Minute)
		if beats != 3 {
			t.Errorf("%d beats in 3.5 s, want 3", beats)
		}
	})
}
