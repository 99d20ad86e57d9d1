package transfer

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
)

// importers is the number of batches that are in flight at once.
const importers = 4

// ImportOptions describe an import. Server and From must be set.
type ImportOptions struct {
	Server   Server
	From     io.Reader
	IfAbsent bool // keep the keys that exist

	// OnLineError, if not nil, is called for each line that was not imported, and the
	// import goes on. The calls come one after another, but not in the order of the
	// lines. If it is nil, the first such line ends the import.
	OnLineError func(*LineError)

	// OnProgress, if not nil, is called every second, always from the same goroutine.
	OnProgress func(Progress)
}

// An ImportResult counts the lines of an import.
type ImportResult struct {
	Keys   int64 // written
	Kept   int64 // not written because they exist, with ImportOptions.IfAbsent
	Failed int64 // lines that were not imported because of an error
}

// Import writes JSON lines to a server. If a line ends the import, the lines that were read
// before it are still imported. If the server has refused the line, the lines that were
// already read after it are imported, too. The error of a line is a *LineError.
func Import(ctx context.Context, o ImportOptions) (ImportResult, error) {
	c, err := newClient(o.Server)
	if err != nil {
		return ImportResult{}, err
	}
	defer c.close()
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	m := &importing{client: c, options: o, ctx: ctx, fail: cancel, reading: reading, stopReading: stopReading}
	stop := startProgress(o.OnProgress, m.written.Load, none)
	m.run()
	stop()
	return ImportResult{Keys: m.written.Load(), Kept: m.kept.Load(), Failed: m.failed.Load()}, m.failure(parent)
}

// An importing is the state of one call of Import.
type importing struct {
	client  *client
	options ImportOptions

	ctx         context.Context // ends with the error after which nothing more is sent
	fail        context.CancelCauseFunc
	reading     context.Context // ends when no more lines are to be read
	stopReading context.CancelFunc

	written, kept, failed atomic.Int64

	mu      sync.Mutex // also held during a call of OnLineError
	refused *LineError // the line that ended the import, or nil

	inputErr error // of ImportOptions.From; run sets it
}

// failure returns the error that ended the import, or nil.
func (m *importing) failure(parent context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case parent.Err() != nil:
		return ErrInterrupted
	case m.ctx.Err() != nil:
		return context.Cause(m.ctx)
	case m.refused != nil:
		return m.refused
	}
	return m.inputErr
}

// run reads the lines and gives them to the importers, each key always to the same one.
func (m *importing) run() {
	var all sync.WaitGroup
	var queues [importers]chan *batch
	for i := range queues {
		queues[i] = make(chan *batch, 1)
		all.Go(func() {
			for b := range queues[i] {
				m.send(b)
			}
		})
	}
	var batches [importers]*batch
	flush := func(i int) {
		if batches[i] == nil {
			return
		}
		select {
		case queues[i] <- batches[i]:
		case <-m.ctx.Done():
		}
		batches[i] = nil
	}
	seed := maphash.MakeSeed()
	m.read(func(l line) {
		i := int(maphash.String(seed, l.key) % importers)
		if batches[i] != nil && !batches[i].fits(l) {
			flush(i)
		}
		if batches[i] == nil {
			batches[i] = newBatch()
		}
		batches[i].add(l)
	})
	for i := range queues {
		flush(i)
		close(queues[i])
	}
	all.Wait()
}

// read calls add for each line that is valid, until the input or the import ends.
func (m *importing) read(add func(line)) {
	lines := newLineReader(&input{ctx: m.reading, from: m.options.From})
	for m.reading.Err() == nil {
		text, number, err := lines.next()
		var key string
		var item []byte
		if err == nil {
			if key, item, err = parseLine(text, m.options.IfAbsent); err == nil {
				add(line{number, key, item})
				continue
			}
			err = &LineError{Line: number, Key: key, Err: err}
		}
		var bad *LineError
		switch {
		case err == io.EOF, m.reading.Err() != nil:
			return
		case errors.As(err, &bad):
			m.refuse(bad)
		default:
			m.inputErr = err
			return
		}
	}
}

// refuse reports a line that was not imported. Any importer may call it.
func (m *importing) refuse(e *LineError) {
	m.failed.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.options.OnLineError != nil:
		m.options.OnLineError(e)
	case m.refused == nil || e.Line < m.refused.Line:
		m.refused = e
		m.stopReading()
	}
}
