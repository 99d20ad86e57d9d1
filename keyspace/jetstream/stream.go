package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// minServer is the oldest NATS server that the package was tested with, as major, minor.
var minServer = [2]int{2, 15}

// A SettingsError means that a stream exists whose settings would break the guarantees of
// the store.
type SettingsError struct {
	Stream      string
	Differences []string // as "setting: is x, must be y"
}

func (e *SettingsError) Error() string {
	return fmt.Sprintf("jetstream: the stream %q exists with other settings: %s", e.Stream, strings.Join(e.Differences, "; "))
}

// config returns the settings of the stream.
//
// One message a subject is enough, because the feed does not read the stream: the server
// publishes each message again when it has stored it (RePublish). A consumer of such a stream
// would miss messages that are replaced before it reads them.
func config(stream string, replicas int) natsjs.StreamConfig {
	s := newSubjects(stream)
	return natsjs.StreamConfig{
		Name:               stream,
		Description:        "the state of rtdb: written by its nodes alone",
		Subjects:           s.stored(),
		Retention:          natsjs.LimitsPolicy,
		MaxConsumers:       -1,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  1,
		MaxMsgSize:         -1,
		Discard:            natsjs.DiscardOld,
		Storage:            natsjs.FileStorage,
		Replicas:           replicas,
		RePublish:          &natsjs.RePublish{Source: ">", Destination: s.fed + ">"},
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
	}
}

// ensureStream makes the stream if it is missing, and checks its settings otherwise. It
// returns the time when the stream was made, which names its history.
func (s *Store) ensureStream(ctx context.Context) (created time.Time, err error) {
	stream, err := s.js.Stream(ctx, s.options.Stream)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		stream, err = s.makeStream(ctx)
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: JetStream does not answer: it may be electing a leader; otherwise enable it, and start most of the NATS servers", err)
	}
	if err != nil {
		return created, fmt.Errorf("jetstream: cannot open the stream %q: %w", s.options.Stream, err)
	}
	s.stream = stream
	info := stream.CachedInfo()
	if d := differences(info.Config, config(s.options.Stream, info.Config.Replicas)); len(d) > 0 {
		return created, &SettingsError{Stream: s.options.Stream, Differences: d}
	}
	return info.Created, nil
}

// Error codes of JetStream when a stream is made.
const (
	codeNoPeers      = 10005 // too few servers can be reached
	codeOverlap      = 10065 // another stream has some of the subjects
	codeNotClustered = 10074 // a server alone has no replicas
)

// makeStream makes the stream. A cluster of servers that has just started may not know three of
// them yet. Then makeStream fails, rather than make a stream with one copy.
func (s *Store) makeStream(ctx context.Context) (natsjs.Stream, error) {
	replicas := cmp.Or(s.options.Replicas, 3)
	stream, err := s.js.CreateStream(ctx, config(s.options.Stream, replicas))
	var refused *natsjs.APIError
	if errors.As(err, &refused) && refused.ErrorCode == codeNotClustered && s.options.Replicas == 0 {
		stream, err = s.js.CreateStream(ctx, config(s.options.Stream, 1))
	}
	if errors.As(err, &refused) {
		switch refused.ErrorCode {
		case codeNotClustered:
			return nil, fmt.Errorf("%w: a single NATS server keeps one copy: let it join a cluster, or set --nats-replicas to 1", err)
		case codeOverlap:
			return nil, fmt.Errorf("%w: choose another name by --nats-stream, or delete the other stream", err)
		case codeNoPeers:
			return nil, fmt.Errorf("%w: a stream with %d replicas needs as many NATS servers: start them, or set --nats-replicas", err, replicas)
		}
	}
	if errors.Is(err, natsjs.ErrStreamNameAlreadyInUse) { // another node was faster
		return s.js.Stream(ctx, s.options.Stream)
	}
	return stream, err
}

// differences compares the settings that the guarantees of the store rest on. An operator may
// change the others, for example the number of replicas or a limit of bytes.
func differences(is, must natsjs.StreamConfig) (all []string) {
	compare := func(name string, is, must any) {
		if !reflect.DeepEqual(is, must) {
			all = append(all, fmt.Sprintf("%s is %v, must be %v", name, is, must))
		}
	}
	slices.Sort(is.Subjects)
	slices.Sort(must.Subjects)
	compare("subjects", is.Subjects, must.Subjects)
	compare("retention", is.Retention, must.Retention)
	compare("max_msgs_per_subject", is.MaxMsgsPerSubject, must.MaxMsgsPerSubject)
	compare("max_age", is.MaxAge, must.MaxAge)
	compare("storage", is.Storage, must.Storage)
	compare("allow_direct", is.AllowDirect, must.AllowDirect)
	compare("allow_msg_ttl", is.AllowMsgTTL, must.AllowMsgTTL)
	compare("allow_atomic", is.AllowAtomicPublish, must.AllowAtomicPublish)
	compare("subject_delete_marker_ttl", is.SubjectDeleteMarkerTTL, must.SubjectDeleteMarkerTTL)
	compare("no_ack", is.NoAck, false)
	compare("sealed", is.Sealed, false)
	compare("discard_new_per_subject", is.DiscardNewPerSubject, false)
	compare("persist_mode", is.PersistMode, must.PersistMode)
	compare("mirror", is.Mirror != nil, false)
	compare("sources", len(is.Sources), 0)
	compare("subject_transform", is.SubjectTransform != nil, false)
	if limited := is.MaxMsgs > 0 || is.MaxBytes > 0; limited && is.Discard != natsjs.DiscardNew {
		all = append(all, "discard is old although the stream is limited, must be new: the oldest keys would be lost")
	}
	switch r := is.RePublish; {
	case r == nil:
		all = append(all, fmt.Sprintf("republish is missing, must be from > to %s", must.RePublish.Destination))
	case r.Source != ">" && r.Source != "" || r.Destination != must.RePublish.Destination || r.HeadersOnly:
		all = append(all, fmt.Sprintf("republish is from %q to %q (headers only: %v), must be from > to %s, with bodies",
			r.Source, r.Destination, r.HeadersOnly, must.RePublish.Destination))
	}
	return all
}

// checkServer refuses a server that is too old.
func checkServer(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil ||
		major < minServer[0] || major == minServer[0] && minor < minServer[1] {
		return &VersionError{Version: version}
	}
	return nil
}
