package transport

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"rtdb/session"
	"rtdb/transport/rawjson"
	"rtdb/transport/socket"
)

// operations has the handlers of the operator.
type operations struct{ *core }

// noCommandLine answers pprof's question for the command line, which may have a
// secret in it.
func noCommandLine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("rtdb")) // it fails if the client has gone
}

const (
	defaultSessions = 100
	maxSessions     = 1000
)

// A sessionStatus is one session in the operator's list.
type sessionStatus struct {
	client *client
	session.Status
}

// sessionOrders are how the list of sessions can be sorted.
var sessionOrders = map[string]func(a, b sessionStatus) int{
	"lag":   func(a, b sessionStatus) int { return cmp.Compare(b.Oldest, a.Oldest) },
	"bytes": func(a, b sessionStatus) int { return cmp.Compare(b.PendingBytes, a.PendingBytes) },
	"age":   func(a, b sessionStatus) int { return a.client.opened.Compare(b.client.opened) },
}

func (x *operations) listSessions(w *response, _ *http.Request) error {
	query := w.query
	limit, err := parseLimit(query, defaultSessions, maxSessions)
	if err != nil {
		return err
	}
	sort, err := single(query, "sort")
	if err != nil {
		return err
	}
	if !query.Has("sort") {
		sort = "lag"
	}
	order, ok := sessionOrders[sort]
	if !ok {
		return refuse(codeInvalidRequest, "sort is neither lag, bytes nor age")
	}
	var all []sessionStatus
	x.clients.each(func(c *client) { all = append(all, sessionStatus{c, c.session.Inspect()}) })
	slices.SortFunc(all, func(a, b sessionStatus) int {
		return cmp.Or(order(a, b), cmp.Compare(a.client.id, b.client.id))
	})
	var body rawjson.Builder
	if node := x.options.Node; node != "" {
		body = body.String("node", node)
	}
	sessions := []byte{'['}
	for i, s := range all[:min(len(all), limit)] {
		if i > 0 {
			sessions = append(sessions, ',')
		}
		sessions = append(sessions, s.encode()...)
	}
	w.json(http.StatusOK, body.Raw("sessions", append(sessions, ']')).End())
	return nil
}

func (s *sessionStatus) encode() []byte {
	whole := func(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }
	c := s.client
	b := rawjson.Builder(nil).
		String("id", c.id.String()).String("remote", c.remote).String("route", c.kind.route())
	if name := c.name.Load(); name != nil {
		b = b.String("client", name.client)
	}
	if subject := subjectOf(c.link.principal()); subject != "" {
		b = b.String("subject", subject)
	}
	return b.
		Uint("age_ms", whole(time.Since(c.opened))).Uint("subscriptions", uint64(s.Subscriptions)).
		Uint("delivered", s.Delivered).Uint("conflated", s.Conflated).Uint("dropped", s.Dropped).
		Uint("pending_keys", uint64(c.session.PendingKeys())).Uint("pending_bytes", uint64(s.PendingBytes)).
		Uint("lag_ms", whole(s.Oldest)).End()
}

// listTopics lists the topics that have subscribers.
func (x *operations) listTopics(w *response, r *http.Request) error {
	q, err := parseListing(w.query, defaultPage)
	if err != nil {
		return err
	}
	topics, next, err := x.keyspace.Topics(q)
	if err != nil {
		return err
	}
	body := []byte(`{"items":[`)
	for i, t := range topics {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, rawjson.Builder(nil).String("topic", t.Topic).Uint("subscribers", uint64(t.Subscribers)).End()...)
	}
	w.json(http.StatusOK, appendNext(append(body, ']'), next))
	return nil
}

// kick closes a session with 4009.
func (x *operations) kick(w *response, r *http.Request) error {
	text := r.PathValue("id")
	id, err := strconv.ParseUint(text, 16, 64)
	c := x.clients.find(clientID(id))
	if err != nil || c == nil || c.id.String() != text {
		return refuse(codeNotFound, "there is no session %s", quoted(text))
	}
	c.session.Close(errKicked)
	w.empty(http.StatusNoContent)
	return nil
}

func (x *operations) getLevel(w *response, _ *http.Request) error {
	if x.options.Level == nil {
		return refuse(codeNotFound, "the level of this server's log cannot be changed")
	}
	w.json(http.StatusOK, rawjson.Builder(nil).String("level", x.options.Level.Current()).End())
	return nil
}

// setLevel takes {"level":"debug"}.
func (x *operations) setLevel(w *response, r *http.Request) error {
	if x.options.Level == nil {
		return refuse(codeNotFound, "the level of this server's log cannot be changed")
	}
	level, err := readBody(r, x.maxMessage(), x.options.Crowded, parseLevel)
	if err != nil {
		return err
	}
	if err := x.options.Level.Change(level); err != nil {
		return refuse(codeInvalidRequest, "level is not trace, debug, info, warn or error")
	}
	x.options.Logger.Warn().Str("to", x.options.Level.Current()).Msg("log level changed")
	return x.getLevel(w, r)
}

// backups counts the backups that are under way. A shutdown breaks them off, because a backup
// may take longer than the grace.
type backups struct {
	lifetime context.Context // ends when a shutdown begins
	cancel   context.CancelFunc

	mu      sync.Mutex // held while a backup begins, and while lifetime is ended
	running sync.WaitGroup
}

func (b *backups) init() { b.lifetime, b.cancel = context.WithCancel(context.Background()) }

// begin counts a backup. Its end calls running.Done.
func (b *backups) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lifetime.Err() != nil {
		return errDraining
	}
	b.running.Add(1)
	return nil
}

// end breaks off the backups, and lets no other begin.
func (b *backups) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancel()
}

// wait waits, after end, until no backup is under way.
func (b *backups) wait() { b.running.Wait() }

// backup sends a copy of the state.
func (x *operations) backup(w *response, r *http.Request) error {
	switch {
	case x.options.Backup == nil && x.options.Node != "":
		return refuse(codeNotFound, "a node keeps its state in NATS: make a backup there by nats stream backup, or use rtdb export")
	case x.options.Backup == nil:
		return refuse(codeNotFound, "there is no backup: this server keeps its state in memory; start it with --data-dir")
	}
	if r.Method == http.MethodHead {
		backupHeader(w)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := x.backups.begin(); err != nil {
		return err
	}
	defer x.backups.running.Done()
	copied, err := socket.NewDownload(w, r)
	if err != nil {
		return fmt.Errorf("transport: cannot set the deadline of a backup's connection: %w", err)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	brokenOff := make(chan struct{})
	stop := context.AfterFunc(x.backups.lifetime, func() {
		defer close(brokenOff)
		cancel(errDraining)
		copied.Cut()
	})
	backupHeader(w)
	err = x.options.Backup(ctx, copied)
	if !stop() {
		<-brokenOff
	}
	lost := copied.Finish()
	switch {
	case err == nil && lost == nil:
		if w.status == 0 {
			w.WriteHeader(http.StatusOK)
		}
		return nil
	case context.Cause(ctx) == errDraining:
		err = errDraining
	case lost != nil, r.Context().Err() != nil: // the client has left or stalled
		w.abort(cmp.Or(lost, socket.ErrGone))
		return nil
	default:
		err = refuse(codeInternal, "the backup failed: %v", err)
	}
	w.Header().Del("Content-Disposition") // an error is not a file
	return err
}

func backupHeader(w *response) {
	h := w.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", `attachment; filename="rtdb-backup.tar"`)
	h.Set("Cache-Control", cacheControl)
	h.Set("X-Content-Type-Options", "nosniff")
}
