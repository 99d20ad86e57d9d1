package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

const (
	batchItems = 1000 // the most that the server takes

	// batchBytes is the longest batch, unless one item is longer. The server accepts a body
	// of up to 1 MiB and one value.
	batchBytes = 1 << 20
)

const (
	batchStart = `{"items":[`
	batchEnd   = `]}`
)

// A batch has lines with different keys, so that a part of it can be sent again.
type batch struct {
	lines []line
	keys  map[string]struct{}
	bytes int
}

func newBatch() *batch {
	return &batch{keys: make(map[string]struct{}), bytes: len(batchStart) + len(batchEnd)}
}

// fits reports whether the batch has room for the line.
func (b *batch) fits(l line) bool {
	_, repeated := b.keys[l.key]
	return !repeated && len(b.lines) < batchItems && b.bytes+len(l.item)+1 <= batchBytes
}

func (b *batch) add(l line) {
	b.lines = append(b.lines, l)
	b.keys[l.key] = struct{}{}
	b.bytes += len(l.item) + 1
}

// body returns the body of the request that writes the lines.
func (b *batch) body() []byte {
	body := append(make([]byte, 0, b.bytes), batchStart...)
	for i, l := range b.lines {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, l.item...)
	}
	return append(body, batchEnd...)
}

// A result is the server's answer to one item.
type result struct {
	Error *ServerError
}

// send writes a batch. Items that fail for a reason that may pass are sent again, before
// the next batch of the same importer.
func (m *importing) send(b *batch) {
	var again retrier
	for len(b.lines) > 0 && m.ctx.Err() == nil {
		results, err := m.post(b)
		if err == nil {
			left := len(b.lines)
			if err = m.count(b, results); len(b.lines) < left {
				again.succeeded()
			}
		}
		if err == nil {
			continue
		}
		if err = again.wait(m.ctx, err, m.client.patience); err == nil {
			continue
		}
		var refused *ServerError
		if errors.As(err, &refused) && len(b.lines) == 1 && isOfItem(refused) {
			m.refuse(&LineError{Line: b.lines[0].number, Key: b.lines[0].key, Err: err})
			return
		}
		m.fail(err)
	}
}

// isOfItem reports whether the server refused a request because of its only item.
func isOfItem(e *ServerError) bool {
	return e.Status == http.StatusRequestEntityTooLarge || e.Status == http.StatusBadRequest
}

// post sends the lines of a batch.
func (m *importing) post(b *batch) ([]result, error) {
	body, err := m.client.do(m.ctx, "POST", "data", "", b.body())
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // it has been read, or has failed
	var answer struct{ Results []result }
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return nil, malformed(err)
	}
	if len(answer.Results) != len(b.lines) {
		return nil, fmt.Errorf("the server answered %d results for %d items: check that the URL is that of an rtdb server", len(answer.Results), len(b.lines))
	}
	return answer.Results, nil
}

// count counts the results. The lines that may be sent again stay in the batch, and err is
// their error. They also stay if the token is not accepted any more, because that is not the
// fault of a line.
func (m *importing) count(b *batch, results []result) (err error) {
	lines := b.lines
	b.lines = nil
	for i, r := range results {
		switch l := lines[i]; {
		case r.Error == nil:
			m.written.Add(1)
		case r.Error.Code == "version_mismatch" && m.options.IfAbsent:
			m.kept.Add(1)
		case r.Error.isTemporary(), r.Error.Code == "unauthorized":
			b.lines = append(b.lines, l)
			err = r.Error
		default:
			m.refuse(&LineError{Line: l.number, Key: l.key, Err: r.Error})
		}
	}
	return err
}
