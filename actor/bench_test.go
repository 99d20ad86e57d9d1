package actor_test

import (
	"context"
	"runtime"
	"testing"
	"unsafe"

	"rtdb/actor"
)

// plain is the alternative to an actor: a goroutine and a buffered channel.
type plain struct {
	messages chan int
	done     chan struct{}
}

func newPlain(handle func(int)) *plain {
	p := &plain{messages: make(chan int, actor.DefaultCapacity), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for m := range p.messages {
			handle(m)
		}
	}()
	return p
}

func (p *plain) stop() {
	close(p.messages)
	<-p.done
}

// BenchmarkSendBusy is the cost of one message, sent and handled, while one sender keeps
// one actor busy.
func BenchmarkSendBusy(b *testing.B) {
	b.Run("actor", func(b *testing.B) {
		var a actor.Actor[int]
		sum := 0
		a.Init(func(batch []int) {
			for _, m := range batch {
				sum += m
			}
		}, actor.Options[int]{})
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if err := a.Send(ctx, 1); err != nil {
				b.Fatal(err)
			}
		}
		if err := a.Shutdown(ctx); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("channel", func(b *testing.B) {
		sum := 0
		p := newPlain(func(m int) { sum += m })
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			select { // a bounded send that can be cancelled, like Send
			case p.messages <- 1:
			case <-ctx.Done():
			}
		}
		p.stop()
	})
}

// BenchmarkSendIdle is the cost of a message to an idle actor, and of the wait for its
// answer: a lone write to a key costs this.
func BenchmarkSendIdle(b *testing.B) {
	b.Run("actor", func(b *testing.B) {
		var a actor.Actor[int]
		answer := make(chan int, 1)
		a.Init(func(batch []int) { answer <- batch[0] }, actor.Options[int]{})
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			if err := a.Send(ctx, 1); err != nil {
				b.Fatal(err)
			}
			<-answer
		}
		if err := a.Shutdown(ctx); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("channel", func(b *testing.B) {
		answer := make(chan int, 1)
		p := newPlain(func(m int) { answer <- m })
		ctx := context.Background()
		b.ReportAllocs()
		for b.Loop() {
			select {
			case p.messages <- 1:
			case <-ctx.Done():
			}
			<-answer
		}
		p.stop()
	})
}

// BenchmarkIdleSize is the size of an idle actor in bytes: of the struct alone, and of all
// memory that it needs (the handler's closure or, for the alternative, the goroutine's
// stack and the channel's buffer).
func BenchmarkIdleSize(b *testing.B) {
	const n = 20_000
	b.Run("actor", func(b *testing.B) {
		for b.Loop() {
			before := inUse()
			actors := make([]actor.Actor[int], n)
			for i := range actors {
				sum := 0
				actors[i].Init(func(batch []int) { sum += batch[0] }, actor.Options[int]{})
				if err := actors[i].Send(context.Background(), 1); err != nil {
					b.Fatal(err)
				}
			}
			for i := range actors { // wait until no actor has a message
				for !actors[i].Retire() {
					runtime.Gosched()
				}
				if err := actors[i].Shutdown(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(inUse()-before)/n, "B/actor")
			runtime.KeepAlive(actors)
		}
		b.ReportMetric(float64(unsafe.Sizeof(actor.Actor[int]{})), "B/struct")
	})
	b.Run("channel", func(b *testing.B) {
		for b.Loop() {
			before := inUse()
			actors := make([]*plain, n)
			for i := range actors {
				sum := 0
				actors[i] = newPlain(func(m int) { sum += m })
				actors[i].messages <- 1
			}
			b.ReportMetric(float64(inUse()-before)/n, "B/actor")
			for _, p := range actors {
				p.stop()
			}
		}
	})
}

// inUse is the memory of live objects and of stacks, in bytes.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
