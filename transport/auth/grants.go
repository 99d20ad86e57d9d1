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

// Grants are what a client may do. The zero value is nothing.
type Grants struct {
	Read    []string `json:"read,omitempty"`    // patterns of keys
	Write   []string `json:"write,omitempty"`   // patterns of keys
	Publish []string `json:"publish,omitempty"` // patterns of topics
	Listen  []string `json:"listen,omitempty"`  // patterns of topics
	Admin   bool     `json:"admin,omitempty"`
}

// Everything is what a client may do where nobody asks who it is.
func Everything() Grants {
	all := []string{"#"}
	return Grants{Read: all, Write: all, Publish: all, Listen: all, Admin: true}
}

// ParseGrants reads the JSON object that the claim "rtdb" is. A member that it
// does not know is an error: who has misspelt one would look for it long.
func ParseGrants(text []byte) (g Grants, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return Grants{}, fmt.Errorf("expected {\"read\":[…],\"write\":[…],\"publish\":[…],\"listen\":[…],\"admin\":…}: %w", plain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Grants{}, errors.New("something follows the object")
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(text, &named); err != nil {
		return Grants{}, err
	}
	for name := range named { // encoding/json takes "ADMIN" for "admin" too
		if name != strings.ToLower(name) {
			return Grants{}, fmt.Errorf("%q is not called so", name)
		}
	}
	return g, g.Check()
}

// plain keeps what was read out of the error.
func plain(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%q is of the wrong type", wrong.Field)
	}
	return err
}

// None reports whether nothing is granted.
func (g *Grants) None() bool {
	return len(g.Read)+len(g.Write)+len(g.Publish)+len(g.Listen) == 0 && !g.Admin
}

// Check returns the error of the first that is no pattern.
func (g *Grants) Check() error {
	for _, patterns := range [][]string{g.Read, g.Write, g.Publish, g.Listen} {
		for _, p := range patterns {
			if err := keyspace.CheckPattern(p); err != nil {
				return fmt.Errorf("the pattern %q: %w", p, err)
			}
		}
	}
	return nil
}

// MayRead reports whether a key may be read, and its updates.
func (g *Grants) MayRead(key string) bool { return match(g.Read, key) }

// MayReadAll reports whether each key that a pattern matches may be read.
func (g *Grants) MayReadAll(pattern string) bool { return cover(g.Read, pattern) }

// MayList reports whether each key may be read that begins with prefix and that
// the pattern matches. An empty pattern matches all.
func (g *Grants) MayList(prefix, pattern string) bool {
	return pattern != "" && g.MayReadAll(pattern) ||
		slices.ContainsFunc(g.Read, func(p string) bool { return keyspace.CoversPrefix(p, prefix) })
}

// MayWrite reports whether a key may be written and deleted.
func (g *Grants) MayWrite(key string) bool { return match(g.Write, key) }

// MayListen reports whether a topic may be subscribed to.
func (g *Grants) MayListen(topic string) bool { return match(g.Listen, topic) }

// MayPublish reports whether a topic may be published to.
func (g *Grants) MayPublish(topic string) bool { return match(g.Publish, topic) }

// MaySubscribe reports whether a target may be subscribed to: a key and a pattern of
// keys by what may be read, a topic by what may be listened to.
func (g *Grants) MaySubscribe(t keyspace.Target) bool {
	switch t.Kind {
	case keyspace.KindTopic:
		return g.MayListen(t.Name)
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

func match(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return keyspace.Matches(p, name) })
}

func cover(patterns []string, inner string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return keyspace.Covers(p, inner) })
}
