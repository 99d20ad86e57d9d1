package session_test

import (
	"context"
	"fmt"
	"runtime"
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

// BenchmarkSubscriptions subscribes 50 sessions to the same 1000 keys, with names of their
// own as a request has them. It measures the memory of a subscription.
func BenchmarkSubscriptions(b *testing.B) {
	const subscribers, keys = 50, 1000
	ctx := context.Background()
	for b.Loop() {
		ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
		if err != nil {
			b.Fatal(err)
		}
		for i := range keys {
			if _, err := ks.Set(ctx, fmt.Sprintf("sensors/%04d/t", i), []byte("1")); err != nil {
				b.Fatal(err)
			}
		}
		pool := &actor.Pool{Interval: 2 * time.Millisecond}
		sessions := make([]*session.Session, subscribers)
		for i := range sessions {
			sessions[i] = session.New(ks, nullConn{}, session.Options{Encoder: encoder, Pool: pool})
		}
		before := live()
		for _, s := range sessions {
			for i := range keys {
				name := fmt.Sprintf("sensors/%04d/t", i)
				if err := s.Subscribe(ctx, targets(keyspace.Key(name)), session.Start{}, noReply); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(live()-before)/subscribers/keys, "B/subscription")
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
}

// live returns the bytes of the objects that are in use.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
