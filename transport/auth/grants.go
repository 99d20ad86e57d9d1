package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"rtdb/keyspace"
)

// Grants say what a client may do. The zero value grants nothing.
type Grants struct {
	Read    []string `json:"read,omitempty"`    // patterns of keys
	Write   []string `json:"write,omitempty"`   // patterns of keys
	Publish []string `json:"publish,omitempty"` // patterns of topics
	Listen  []string `json:"listen,omitempty"`  // patterns of topics
	Admin   bool     `json:"admin,omitempty"`   // the operator's calls: metrics, sessions, topics, the log level and profiles
}

// Everything returns grants that permit everything. A client has them if the server has no
// key for tokens.
func Everything() Grants {
	all := []string{"#"}
	return Grants{Read: all, Write: all, Publish: all, Listen: all, Admin: true}
}

// ParseGrants parses a JSON object in the form of the claim "rtdb". A member that it does
// not know is an error, because a misspelt name would otherwise be hard to find.
func ParseGrants(text []byte) (g Grants, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return Grants{}, fmt.Errorf("expected {\"read\":[…],\"write\":[…],\"publish\":[…],\"listen\":[…],\"admin\":…}: %w", withoutValue(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Grants{}, errors.New("unexpected text after the JSON object")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return Grants{}, err
	}
	for name := range members { // encoding/json reads "ADMIN" as "admin" too
		if lower := strings.ToLower(name); name != lower {
			return Grants{}, fmt.Errorf("unknown member %q: write %q", name, lower)
		}
	}
	return g, g.Check()
}

// withoutValue removes the value that was parsed from an error of encoding/json, because
// the value may be part of a token.
func withoutValue(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &wrongType):
		return err
	case wrongType.Field == "":
		return errors.New("the text is not an object")
	}
	return fmt.Errorf("the member %q has the wrong type", wrongType.Field)
}

// None reports whether nothing is granted.
func (g *Grants) None() bool {
	return len(g.Read)+len(g.Write)+len(g.Publish)+len(g.Listen) == 0 && !g.Admin
}

// String returns the grants as the claim "rtdb" has them, in JSON.
func (g *Grants) String() string {
	text, err := json.Marshal(g)
	if err != nil { // it has only strings and booleans
		return err.Error()
	}
	return string(text)
}

// Check returns an error if one of the patterns is not valid.
func (g *Grants) Check() error {
	for _, patterns := range [][]string{g.Read, g.Write, g.Publish, g.Listen} {
		for _, p := range patterns {
			if err := keyspace.CheckPattern(p); err != nil {
				return fmt.Errorf("pattern %q: %w", p, err)
			}
		}
	}
	return nil
}

// MayRead reports whether the client may read the key and subscribe to it.
func (g *Grants) MayRead(key string) bool { return match(g.Read, key) }

// MayReadAll reports whether the client may read all keys that match the pattern.
func (g *Grants) MayReadAll(pattern string) bool { return cover(g.Read, pattern) }

// MayList reports whether the client may read all keys that begin with the prefix and match
// the pattern. An empty pattern matches all keys. It is enough that the grants cover the
// pattern alone, or the prefix alone.
func (g *Grants) MayList(prefix, pattern string) bool {
	return coversAll(g.Read, prefix, pattern)
}

// MayWriteAll reports whether the client may write all keys that begin with the prefix and
// match the pattern, as MayList does for reading.
func (g *Grants) MayWriteAll(prefix, pattern string) bool { return coversAll(g.Write, prefix, pattern) }

// MayWrite reports whether the client may write and delete the key.
func (g *Grants) MayWrite(key string) bool { return match(g.Write, key) }

// MayListen reports whether the client may subscribe to the topic.
func (g *Grants) MayListen(topic string) bool { return match(g.Listen, topic) }

// MayPublish reports whether the client may publish to the topic.
func (g *Grants) MayPublish(topic string) bool { return match(g.Publish, topic) }

// MaySubscribe reports whether a target may be subscribed to. Keys and patterns of keys
// need a grant to read, topics and patterns of topics a grant to listen. One grant must
// cover all of a pattern.
func (g *Grants) MaySubscribe(t keyspace.Target) bool {
	switch t.Kind {
	case keyspace.KindTopic:
		return g.MayListen(t.Name)
	case keyspace.KindTopicPattern:
		return cover(g.Listen, t.Name)
	case keyspace.KindPattern:
		return g.MayReadAll(t.Name)
	}
	return g.MayRead(t.Name)
}

// MayChange reports whether a key may be written, or a topic published to.
func (g *Grants) MayChange(t keyspace.Target) bool {
	if t.Kind == keyspace.KindTopic {
		return g.MayPublish(t.Name)
	}
	return g.MayWrite(t.Name)
}

// match reports whether one of the patterns matches the name.
func match(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return keyspace.Matches(p, name) })
}

// coversAll reports whether one of the patterns covers the prefix, or the inner pattern if
// it is not "".
func coversAll(patterns []string, prefix, inner string) bool {
	return inner != "" && cover(patterns, inner) ||
		slices.ContainsFunc(patterns, func(p string) bool { return keyspace.CoversPrefix(p, prefix) })
}

// cover reports whether one of the patterns matches each name that inner matches.
func cover(patterns []string, inner string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return keyspace.Covers(p, inner) })
}
