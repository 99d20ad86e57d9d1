package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// For each request of several messages, the server counts those that remain, and looks at
// every subject, which takes 0.1 s for a million keys (nats-server 2.15, fileStore.NumPending). So
// requests are large: to load a million keys takes 116 s with requests of 2000 messages. They
// fit into a subscription, which holds 65,536 messages and 64 MiB.
const (
	readBatch   = 50_000          // messages of one request
	readBytes   = 16 << 20        // bytes of one request
	readFew     = 64              // so many messages are read one by one, without the count
	readTimeout = 5 * time.Second // for the next message of a request
	readPause   = 20 * time.Millisecond
)

// A getRequest asks for the messages from a sequence on (direct get of JetStream, ADR-31).
// A server that answers it reads its own copy of the stream, so its answer may lack the
// newest messages.
type getRequest struct {
	Seq      uint64   `json:"seq,omitempty"`
	NextFor  string   `json:"next_by_subj,omitempty"` // the subjects; "": all
	LastOf   []string `json:"multi_last,omitempty"`   // instead: the last message of each subject
	Batch    int      `json:"batch,omitempty"`        // 0: one message
	MaxBytes int      `json:"max_bytes,omitempty"`
}

var errShortRead = errors.New("jetstream: the server has ended its answer early")

// readUntil passes the messages from the feed's place on to each, in order, until each has
// got one with the sequence until or a higher one. each must move the place. A server that
// lags, or does not answer, is asked again. readUntil ends with the store's lifetime, or with
// an error of each.
func (s *Store) readUntil(until uint64, each func(*stored) error) error {
	for s.place.now() < until {
		var eachErr error
		r := getRequest{Seq: s.place.now() + 1, NextFor: ">"}
		if until-s.place.now() > readFew {
			r.Batch = readBatch
		}
		n, err := s.readSome(r, func(x *stored) error {
			eachErr = each(x)
			return eachErr
		})
		if eachErr != nil {
			return eachErr
		}
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-time.After(readPause):
		case <-s.lifetime.Done():
			return context.Cause(s.lifetime)
		}
	}
	return nil
}

// readSome passes the messages that a request brings to each, and returns their number.
func (s *Store) readSome(r getRequest, each func(*stored) error) (n int, err error) {
	if r.Batch > 0 {
		r.MaxBytes = readBytes
	}
	from := r.Seq
	request, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	inbox := s.conn.NewInbox()
	answers, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := s.conn.PublishRequest("$JS.API.DIRECT.GET."+s.options.Stream, inbox, request); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(s.lifetime)
	defer cancel()
	timeout := time.AfterFunc(readTimeout, cancel)
	defer timeout.Stop()
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return n, err
		}
		timeout.Reset(readTimeout)
		if status := m.Header.Get("Status"); status != "" {
			return n, readStatus(status, m)
		}
		x, ok := parseStored(m)
		if !ok {
			return n, errShortRead
		}
		if x.sequence < from {
			continue
		}
		from = x.sequence + 1
		n++
		if err := each(&x); err != nil || r.Batch == 0 {
			return n, err
		}
	}
}

// readStatus returns the error that the status at the end of an answer stands for.
func readStatus(status string, m *nats.Msg) error {
	switch status {
	case "204", "404": // the end; no message has such a sequence
		return nil
	}
	return fmt.Errorf("jetstream: the server answers a read with %s %s", status, m.Header.Get("Description"))
}
