package client_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rtdb/transport/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that should come at once.
const patience = 20 * time.Second

// must returns x and panics if err is not nil.
func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// timeout returns a context that ends if the test waits too long.
func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// dial connects a client, which is closed with the test.
func dial(t testing.TB, url string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(timeout(t), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A puller takes elements of an iterator one by one.
type puller[T any] struct {
	t    testing.TB
	take func() (T, error, bool)
}

// pull begins with an iterator. The context of the iterator must end with the test.
func pull[T any](t testing.TB, seq iter.Seq2[T, error]) *puller[T] {
	take, stop := iter.Pull2(seq)
	t.Cleanup(stop)
	return &puller[T]{t, take}
}

// next returns the next element.
func (p *puller[T]) next() T {
	p.t.Helper()
	x, err, ok := p.take()
	if !ok || err != nil {
		p.t.Fatalf("next: %v, %t", err, ok)
	}
	return x
}

// fails returns the error that ends the iterator.
func (p *puller[T]) fails() error {
	p.t.Helper()
	x, err, ok := p.take()
	if !ok || err == nil {
		p.t.Fatalf("next: %v, %t; want an error", x, ok)
	}
	if _, _, ok := p.take(); ok {
		p.t.Fatal("the iterator goes on after its error")
	}
	return err
}
