package session_test

import (
	"context"
	"testing"
	"time"

	"rtdb/actor"
	"rtdb/keyspace"
	"rtdb/session"
)

// A nullConn takes and drops all messages.
type nullConn struct{}

func (nullConn) TrySend([]session.Message) (bool, error) { return true, nil }
func (nullConn) Send([]session.Message) error            { return nil }
func (nullConn) Close(error)                             {}

// BenchmarkDeliver writes one key with 1000 subscribers, whose sessions share a pool.
// It measures a delivery up to the Conn.
func BenchmarkDeliver(b *testing.B) {
	const subscribers = 1000
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		b.Fatal(err)
	}
	pool := &actor.Pool{Interval: 2 * time.Millisecond}
	var sessions []*session.Session
	for range subscribers {
		s := session.New(ks, nullConn{}, session.Options{Encoder: encoder, Pool: pool})
		if err := s.Subscribe(ctx, targets(keyspace.Key("k")), session.Start{}, noReply); err != nil {
			b.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	value := []byte(`"0123456789012345678901234567890123456789012345678901234567890123"`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ks.Set(ctx, "k", value); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/delivery")
	for _, s := range sessions {
		s.Close(errDone)
		if _, err := s.End(ctx); err != nil {
			b.Fatal(err)
		}
	}
	if err := ks.Shutdown(ctx); err != nil {
		b.Fatal(err)
	}
}
