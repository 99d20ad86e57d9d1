package transport

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"

	"rtdb/keyspace"
	"rtdb/transport/rawjson"
)

// A restAPI has the handlers of keys and topics over HTTP.
type restAPI struct{ *core }

func (x *restAPI) getKey(w *response, r *http.Request) error {
	condition, err := parsePrecondition(r)
	if err != nil {
		return err
	}
	key := w.name
	if err := x.authorize(w, w.principal.MayRead(key)); err != nil {
		return err
	}
	e, err := x.keyspace.Get(key)
	if err != nil {
		return err
	}
	if !condition.matches(e.Version) {
		return &keyspace.VersionError{Current: e.Version}
	}
	w.setETag(e.Version)
	if !condition.matchesNone(e.Version) {
		w.empty(http.StatusNotModified)
		return nil
	}
	w.entry(e)
	return nil
}

func (x *restAPI) setKey(w *response, r *http.Request) error {
	change, err := readBody(r, x.maxMessage(), x.options.Crowded, func(body []byte) (keyspace.Change, error) {
		return parseWrite(body, ttlMember, x.options.MaxValueBytes)
	})
	if err != nil {
		return err
	}
	return x.write(w, r, change)
}

func (x *restAPI) patchKey(w *response, r *http.Request) error {
	patch, err := readBody(r, x.maxMessage(), x.options.Crowded, func(body []byte) ([]byte, error) {
		return parsePatch(body, x.options.MaxValueBytes)
	})
	if err != nil {
		return err
	}
	return x.write(w, r, keyspace.Change{Merge: mergePatch(patch, x.options.MaxValueBytes)})
}

func (x *restAPI) deleteKey(w *response, r *http.Request) error {
	return x.write(w, r, keyspace.Change{Delete: true})
}

// write makes a change of one key, and answers with the key's new value.
func (x *restAPI) write(w *response, r *http.Request, c keyspace.Change) error {
	c, err := withPreconditions(c, r)
	if err != nil {
		return err
	}
	key := w.name
	if err := x.authorize(w, w.principal.MayWrite(key)); err != nil {
		return err
	}
	e, err := x.metrics.write(r.Context(), key, c)
	if err != nil {
		return err
	}
	w.setETag(e.Version)
	switch {
	case c.Delete:
		w.empty(http.StatusNoContent)
	case c.Merge != nil && !w.principal.MayRead(key): // the client has sent a part of the value, and may not see the rest
		w.json(http.StatusOK, rawjson.Builder(nil).String("key", e.Key).Uint("version", e.Version).End())
	default:
		w.entry(e)
	}
	return nil
}

func (x *restAPI) publish(w *response, r *http.Request) error {
	change, err := readBody(r, x.maxMessage(), x.options.Crowded, func(body []byte) (keyspace.Change, error) {
		return parseWrite(body, 0, x.options.MaxValueBytes)
	})
	if err != nil {
		return err
	}
	if p, err := parsePrecondition(r); err != nil || p.given() {
		return refuse(codeInvalidRequest, "If-Match and If-None-Match guard a key: a topic has no version")
	}
	topic := w.name
	if err := x.authorize(w, w.principal.MayPublish(topic)); err != nil {
		return err
	}
	if err := x.keyspace.Publish(r.Context(), topic, change.Value); err != nil {
		return err
	}
	w.json(http.StatusAccepted, rawjson.Builder(nil).String("topic", topic).End())
	return nil
}

// setKeys makes a batch of writes, each on its own.
func (x *restAPI) setKeys(w *response, r *http.Request) error {
	items, err := readBody(r, x.maxMessage(), x.options.Crowded, func(body []byte) ([]item, error) {
		return parseBatch(body, x.options.MaxValueBytes)
	})
	if err != nil {
		return err
	}
	if p, err := parsePrecondition(r); err != nil || p.given() {
		return refuse(codeInvalidRequest, "If-Match and If-None-Match guard one key: items have ifVersion")
	}
	var changes []keyspace.KeyedChange
	for i := range items {
		it := &items[i]
		if it.err == nil {
			it.err = x.access.authorize(w.principal, w.principal.MayWrite(it.key.value))
		}
		if it.err == nil {
			changes = append(changes, keyspace.KeyedChange{Key: it.key.value, Change: it.change})
		}
	}
	results := x.metrics.writeAll(r.Context(), changes)
	body := []byte(`{"results":[`)
	for i, it := range items {
		if i > 0 {
			body = append(body, ',')
		}
		var b rawjson.Builder
		if it.key.present {
			b = b.String("key", it.key.value)
		}
		version := uint64(0)
		if it.err == nil {
			version, it.err = results[0].Entry.Version, results[0].Err
			results = results[1:]
		}
		if it.err != nil {
			b = withFailure(b, explain(it.err))
		} else {
			b = b.Uint("version", version)
		}
		body = append(body, b.End()...)
	}
	w.json(http.StatusOK, append(body, `]}`...))
	return nil
}

// pieceBytes is the size at which a piece of a long response is written.
const pieceBytes = 32 << 10

func (x *restAPI) listKeys(w *response, r *http.Request) error {
	q, err := parseListing(w.query, defaultPage)
	if err != nil {
		return err
	}
	if err := x.authorize(w, w.principal.MayList(q.Prefix, q.Pattern)); err != nil {
		return err
	}
	page, err := x.keyspace.List(r.Context(), q)
	if err != nil {
		return err
	}
	// The response is written in pieces, because a thousand long values would take
	// much memory. If a write fails, the client has gone.
	w.jsonHeader()
	body, entry := []byte(`{"items":[`), []byte(nil)
	for i, e := range page.Entries {
		if i > 0 {
			body = append(body, ',')
		}
		entry = withEntry(entry[:0], e).End()
		body = append(body, entry...)
		if len(body) >= pieceBytes {
			if _, err := w.Write(body); err != nil {
				return nil
			}
			body = body[:0]
		}
	}
	body = append(body, ']')
	if q.Levels {
		body = appendLevels(body, page.Levels)
	}
	_, _ = w.Write(appendNext(body, page.Next))
	return nil
}

// appendLevels appends the levels that sum up deeper keys.
func appendLevels(body []byte, levels []keyspace.Level) []byte {
	body = append(body, `,"prefixes":[`...)
	for i, l := range levels {
		if i > 0 {
			body = append(body, ',')
		}
		b := rawjson.Builder(nil).String("prefix", l.Prefix).Uint("keys", uint64(l.Keys))
		if l.More {
			b = b.True("more")
		}
		body = append(body, b.End()...)
	}
	return append(body, ']')
}

// appendNext ends the object of a page. next is the end of the page, "" if nothing
// follows.
func appendNext(body []byte, next string) []byte {
	if next != "" {
		body = append(body, `,"next":`...)
		body = rawjson.AppendString(body, next)
	}
	return append(body, '}')
}

// deleteKeys deletes the keys that match, each on its own.
func (x *restAPI) deleteKeys(w *response, r *http.Request) error {
	q, err := parseListing(w.query, maxItems)
	if err != nil {
		return err
	}
	if q.Prefix == "" && q.Pattern == "" { // an empty prefix is often a variable that is not set
		return refuse(codeInvalidRequest, "a prefix or a pattern says which keys to delete: the pattern # (%%23 in a URL) is all keys")
	}
	if p, err := parsePrecondition(r); err != nil || p.given() {
		return refuse(codeInvalidRequest, "If-Match and If-None-Match guard one key")
	}
	if err := x.authorize(w, w.principal.MayWriteAll(q.Prefix, q.Pattern)); err != nil {
		return err
	}
	page, err := x.keyspace.List(r.Context(), q)
	if err != nil {
		return err
	}
	changes := make([]keyspace.KeyedChange, len(page.Entries))
	for i, e := range page.Entries {
		changes[i] = keyspace.KeyedChange{Key: e.Key, Change: keyspace.Change{Delete: true}}
	}
	deleted, failure := uint64(0), error(nil)
	for _, result := range x.metrics.writeAll(r.Context(), changes) {
		switch {
		case result.Err == nil:
			deleted++
		case !errors.Is(result.Err, keyspace.ErrNotFound): // another client was first
			failure = result.Err
		}
	}
	if failure != nil {
		f := *explain(failure)
		f.message += fmt.Sprintf(" (%d keys were deleted)", deleted)
		return &f
	}
	body := rawjson.Builder(nil).Uint("deleted", deleted)
	if page.Next != "" {
		body = body.String("next", page.Next)
	}
	w.json(http.StatusOK, body.End())
	return nil
}

// alive answers health checks.
func (x *restAPI) alive(w *response, _ *http.Request) error {
	w.json(http.StatusOK, rawjson.Builder(nil).String("status", "ok").End())
	return nil
}

// ready answers readiness checks: 200 if the server takes all requests, else the reason. The
// gate has refused the check if the server is draining.
func (x *restAPI) ready(w *response, r *http.Request) error {
	var reason error
	if x.options.Ready != nil {
		reason = x.options.Ready()
	}
	switch {
	case !x.keyspace.Loaded() && reason != nil:
		return notReadyFailure(reason).as("loading")
	case !x.keyspace.Loaded():
		return errLoading.as("loading")
	case reason != nil:
		return notReadyFailure(reason)
	}
	if err := x.keyspace.Refusal(); err != nil {
		return refusalFailure(err)
	}
	return x.alive(w, r)
}

// openAPI describes the REST API (OpenAPI 3.1). A test compares it with the server's
// responses.
//
//go:embed openapi.json
var openAPI []byte

func (x *restAPI) describe(w *response, _ *http.Request) error {
	w.json(http.StatusOK, openAPI)
	return nil
}
