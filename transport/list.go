package transport

import (
	"net/http"
	"net/url"

	"rtdb/keyspace"
	"rtdb/transport/auth"
)

// defaultPage is how many keys a page of a listing has where the request does
// not say.
const defaultPage = 100

func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) error {
	q, err := parseListing(r.URL.Query())
	if err != nil {
		return err
	}
	if err := s.wantHTTP(w, r, func(g *auth.Grants) bool { return g.MayList(q.Prefix, q.Pattern) }); err != nil {
		return err
	}
	entries, more, err := s.keyspace.List(r.Context(), q)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// In pieces, for a thousand long values would be much to have in hand.
	// Where a write fails the client has gone.
	body := []byte(`{"items":[`)
	for i, e := range entries {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, object(nil).entry(e).end()...)
		if len(body) >= chunkBytes {
			if _, err := w.Write(body); err != nil {
				return nil
			}
			body = body[:0]
		}
	}
	body = append(body, ']')
	if more {
		body = append(body, `,"next":`...)
		body = keyspace.AppendString(body, entries[len(entries)-1].Key)
	}
	_, _ = w.Write(append(body, '}'))
	return nil
}

// chunkBytes is how much of a long answer is in hand.
const chunkBytes = 32 << 10

func parseListing(query url.Values) (q keyspace.Query, err error) {
	q.Limit = defaultPage
	for _, p := range []struct {
		name string
		into *string
	}{{"prefix", &q.Prefix}, {"pattern", &q.Pattern}, {"after", &q.After}} {
		if *p.into, err = single(query, p.name); err != nil {
			return q, err
		}
	}
	if query.Has("pattern") {
		if err := keyspace.CheckPattern(q.Pattern); err != nil {
			return q, refuse(codeInvalidName, "not a valid pattern: %s", reasonOf(err))
		}
	}
	limit, err := single(query, "limit")
	if err != nil || !query.Has("limit") {
		return q, err
	}
	n, ok := parseVersion(limit)
	if q.Limit = int(min(n, maxItems+1)); !ok || n < 1 || n > maxItems {
		return q, refuse(codeInvalidRequest, "limit is not a number from 1 to %d", maxItems)
	}
	return q, nil
}

// single returns the value of a query parameter that may come once, "" where
// it does not.
func single(query url.Values, name string) (string, error) {
	values := query[name]
	if len(values) > 1 {
		return "", refuse(codeInvalidRequest, "%s is there more than once", name)
	}
	return query.Get(name), nil
}
