package main

import (
	"bytes"
	"encoding/json"
	"time"

	"rtdb/transport/client"
)

// An entryLine is a key as the commands print it with --json: the object of the server's
// REST interface, and of its updates.
type entryLine struct {
	Key       string          `json:"key,omitempty"`
	Topic     string          `json:"topic,omitempty"`
	Value     json.RawMessage `json:"value,omitempty"`
	Version   uint64          `json:"version,omitempty"`
	At        int64           `json:"at,omitempty"` // Unix milliseconds
	ExpiresIn float64         `json:"expires_in,omitempty"`
	Deleted   bool            `json:"deleted,omitempty"`
	Snapshot  bool            `json:"snapshot,omitempty"`
	Missed    any             `json:"missed,omitempty"`
}

// text returns the line as JSON, whose value is letter for letter that of the server.
func (l entryLine) text() string { return string(encodeJSON(l)) }

// quoteText returns a string as JSON.
func quoteText(s string) json.RawMessage { return encodeJSON(s) }

// encodeJSON returns v, which cannot fail, as JSON without the escapes for HTML.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // a value of the server is JSON: the client has parsed it
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func lineOf(e client.Entry[json.RawMessage]) entryLine {
	return entryLine{
		Key: e.Key, Value: e.Value, Version: e.Version, At: unixMilli(e.At), ExpiresIn: e.ExpiresIn.Seconds(),
	}
}

// unixMilli returns the Unix time, and 0 for the zero time.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
