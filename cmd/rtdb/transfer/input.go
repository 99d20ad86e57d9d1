package transfer

import (
	"context"
	"io"
)

// An input is a reader whose reads end with its context. A read of a terminal or of a
// pipe cannot be ended otherwise.
type input struct {
	ctx    context.Context
	from   io.Reader
	buffer []byte
}

// Read reads from the reader. If the context ends, Read returns the cause, and the read goes
// on in a goroutine of its own until it ends. Nothing waits for that goroutine. Read must not
// be called again after that.
func (in *input) Read(p []byte) (int, error) {
	if in.buffer == nil {
		in.buffer = make([]byte, inputBytes)
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	buffer := in.buffer[:min(len(p), len(in.buffer))]
	go func() {
		n, err := in.from.Read(buffer)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(p, buffer[:r.n]), r.err
	case <-in.ctx.Done():
		return 0, context.Cause(in.ctx)
	}
}
