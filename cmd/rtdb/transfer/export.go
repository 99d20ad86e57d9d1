package transfer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync/atomic"
)

const (
	pageKeys    = 1000 // the most that the server sends in one page
	outputBytes = 64 << 10
)

// ExportOptions describe an export. Server and To must be set.
type ExportOptions struct {
	Server  Server
	Prefix  string // only keys that begin with it; empty means all
	Pattern string // only keys that match it; empty means all
	To      io.Writer

	// OnProgress, if not nil, is called every second, always from the same goroutine.
	OnProgress func(Progress)
}

// An ExportResult counts the exported keys.
type ExportResult struct {
	Keys int64
}

// An OutputError is the error of a write to ExportOptions.To.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return "cannot write the output: " + e.Err.Error() }

// Unwrap returns the error of the write.
func (e *OutputError) Unwrap() error { return e.Err }

// Export writes the keys of a server as JSON lines. If it fails, the lines of
// ExportResult.Keys keys have been written. An error of the output is an *OutputError.
func Export(ctx context.Context, o ExportOptions) (ExportResult, error) {
	c, err := newClient(o.Server)
	if err != nil {
		return ExportResult{}, err
	}
	defer c.close()
	x := &export{client: c, query: url.Values{"limit": {strconv.Itoa(pageKeys)}}, out: bufio.NewWriterSize(o.To, outputBytes)}
	if o.Prefix != "" {
		x.query.Set("prefix", o.Prefix)
	}
	if o.Pattern != "" {
		x.query.Set("pattern", o.Pattern)
	}
	stop := startProgress(o.OnProgress, x.keys.Load, none)
	err = x.run(ctx)
	stop()
	if flushed := x.out.Flush(); flushed != nil {
		err = &OutputError{flushed}
	}
	return ExportResult{Keys: x.keys.Load()}, err
}

// An export is the state of one call of Export.
type export struct {
	client *client
	query  url.Values // of the next page
	out    *bufio.Writer
	keys   atomic.Int64 // written to out
}

// run reads page after page. If a page ends too early, the next one begins after the last key
// that was read.
func (x *export) run(ctx context.Context) error {
	var again retrier
	for {
		before := x.keys.Load()
		more, err := x.page(ctx)
		if x.keys.Load() > before || err == nil {
			again.succeeded()
		}
		switch {
		case err != nil:
			if err := again.wait(ctx, err, x.client.patience); err != nil {
				return err
			}
		case !more:
			return nil
		}
	}
}

// page exports one page. It reports whether another one follows.
func (x *export) page(ctx context.Context) (more bool, err error) {
	from := x.query.Get("after")
	body, err := x.client.do(ctx, "GET", "data", x.query.Encode(), nil)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	in := json.NewDecoder(body)
	if err := expect(in, json.Delim('{')); err != nil {
		return false, err
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return false, malformed(err)
		}
		switch name {
		case "items":
			if err := x.items(in); err != nil {
				return false, err
			}
		case "next":
			var next string
			if err := in.Decode(&next); err != nil {
				return false, malformed(err)
			}
			if next == from {
				return false, malformed(fmt.Errorf("the page after key %q names the same key as its end", next))
			}
			x.query.Set("after", next)
			more = true
		default: // a newer server may send other members
			var ignored json.RawMessage
			if err := in.Decode(&ignored); err != nil {
				return false, malformed(err)
			}
		}
	}
	if err := expect(in, json.Delim('}')); err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, body) // so that the connection is used again
	return more, err
}

// items exports the array of a page's items, one by one.
func (x *export) items(in *json.Decoder) error {
	if err := expect(in, json.Delim('[')); err != nil {
		return err
	}
	for in.More() {
		var item struct {
			Key, Value json.RawMessage
			ExpiresIn  json.RawMessage `json:"expires_in"`
		}
		if err := in.Decode(&item); err != nil {
			return malformed(err)
		}
		var key string
		if err := json.Unmarshal(item.Key, &key); err != nil || item.Value == nil {
			return malformed(errors.New("an item has no key or no value"))
		}
		if err := x.write(item.Key, item.Value, item.ExpiresIn); err != nil {
			return &OutputError{err}
		}
		x.query.Set("after", key)
		x.keys.Add(1)
	}
	return expect(in, json.Delim(']'))
}

// write writes one line. bufio.Writer keeps an error, so the last one has it.
func (x *export) write(key, value, expires json.RawMessage) error {
	_, _ = x.out.WriteString(`{"key":`)
	_, _ = x.out.Write(key)
	_, _ = x.out.WriteString(`,"value":`)
	_, _ = x.out.Write(value)
	if expires != nil {
		_, _ = x.out.WriteString(`,"expires_in":`)
		_, _ = x.out.Write(expires)
	}
	_, err := x.out.WriteString("}\n")
	return err
}

// expect reads one delimiter.
func expect(in *json.Decoder, want json.Delim) error {
	token, err := in.Token()
	switch {
	case err != nil:
		return malformed(err)
	case token != want:
		return malformed(fmt.Errorf("got %v, want %v", token, want))
	}
	return nil
}

// malformed returns the error of a page that breaks the contract. A page that ends too early
// means that the connection was lost.
func malformed(err error) error {
	var lost *lostError
	switch {
	case errors.As(err, &lost):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &lostError{io.ErrUnexpectedEOF}
	}
	return fmt.Errorf("the server's listing is malformed: %w: check that the URL is that of an rtdb server", err)
}
