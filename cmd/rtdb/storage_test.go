package main

import (
	"testing"
	"time"

	"rtdb/keyspace/journal"
)

func TestFsyncModes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"always": journal.Always, "Always": journal.Always, "never": journal.Never, "NEVER": journal.Never,
		"100ms": 100 * time.Millisecond, "1ms": time.Millisecond, "1m": time.Minute, "0.5s": 500 * time.Millisecond,
	} {
		var m fsyncMode
		if err := m.UnmarshalText([]byte(text)); err != nil || time.Duration(m) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(m), err, want)
		}
		var again fsyncMode
		if err := again.UnmarshalText([]byte(m.String())); err != nil || again != m {
			t.Errorf("%q is printed as %q, which is %v, %v", text, m, again, err)
		}
	}
	for _, text := range []string{"", "sometimes", "0", "0s", "1", "100", "999us", "61s", "-1s", "yes"} {
		var m fsyncMode
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %v", text, m)
		}
	}
}

func TestSizesInBytes(t *testing.T) {
	for text, want := range map[string]byteSize{
		"0": 0, "1": 1, "1048576": 1 << 20, "256MiB": 256 << 20, "256 mib": 256 << 20, "1KiB": 1024, "1kb": 1000, "3GB": 3e9,
		"1.5GiB": 3 << 29, "2TiB": 2 << 40, "7B": 7, "1TB": 1e12, "8MB": 8e6, "16GiB": 16 << 30,
	} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v, want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1M", "1x", "1.5", "0.3KiB", "NaN", "inf", "9000000TiB", "1 2", "256MiB/s"} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %d", text, s)
		}
	}
}

// The committer counts each group, and delays all writers meanwhile.
func BenchmarkCommitted(b *testing.B) {
	m := newStoreMetrics(0)
	g := journal.Group{Writes: 50, Bytes: 5000, Wait: 100 * time.Microsecond, Sync: 150 * time.Microsecond}
	b.ReportAllocs()
	for b.Loop() {
		m.committed(g)
	}
}
