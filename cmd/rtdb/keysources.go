package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"rtdb/transport/auth"
)

// keySources are the keys that verify tokens, with the files and the URL that they come
// from.
type keySources struct {
	keys  *auth.Keys // nil if no key is configured
	files []*keyFile
	url   string // of a JWK Set, or ""

	remote *auth.Remote // nil until follow, and without a URL
}

// fetch gets the JWK Set of the identity provider once, if there is one.
func (s *keySources) fetch(ctx context.Context) error {
	if s.url == "" {
		return nil
	}
	if err := auth.Fetch(ctx, s.keys, s.url); err != nil {
		return fmt.Errorf("--jwks-url ($JWKS_URL): %w", err)
	}
	return nil
}

// follow logs the keys of the files and keeps all keys up to date until close: files
// watches the files, and the JWK Set of the identity provider is fetched again and again,
// and at once if the files are reloaded.
func (s *keySources) follow(log zerolog.Logger, files *watcher) {
	for _, file := range s.files {
		file.report(log, nil)
		files.add(&file.fileSet)
	}
	if s.url != "" {
		s.remote = auth.Follow(s.keys, s.url, func(r auth.Report) {
			if r.Err != nil {
				log.Warn().Str("url", r.Source).Int("keys", len(r.Keys)).Err(r.Err).Msg("keys not loaded")
				return
			}
			logKeys(log.Info().Str("url", r.Source), r.Keys, r.Ignored)
		})
		files.onReload(s.remote.Refresh)
	}
}

// close ends what follow has begun, except for the watcher.
func (s *keySources) close() {
	if s.remote != nil {
		s.remote.Close()
	}
}

// A keyFile is a file with keys that verify tokens.
type keyFile struct {
	fileSet
	keys    []auth.Key // that are in force
	ignored []string   // why other keys of the file are not
}

func newKeyFile(path string, into *auth.Keys, parse keyParser) *keyFile {
	f := &keyFile{fileSet: fileSet{paths: []string{path}}}
	f.use = func(texts [][]byte) error {
		keys, ignored, err := parse(texts[0])
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		f.keys, f.ignored = keys, ignored
		into.Use(path, keys)
		return nil
	}
	f.report = func(log zerolog.Logger, err error) {
		if err != nil {
			log.Warn().Str("file", path).Int("keys", len(f.keys)).Err(err).Msg("keys not loaded")
			return
		}
		logKeys(log.Info().Str("file", path), f.keys, f.ignored)
	}
	return f
}

// logKeys logs keys that are in force now, by their number, their algorithms and their
// IDs, and why others of the same source are not.
func logKeys(e *zerolog.Event, keys []auth.Key, ignored []string) {
	var algorithms, ids []string
	for _, key := range keys {
		algorithms = append(algorithms, key.Algorithm())
		if key.ID() != "" {
			ids = append(ids, key.ID())
		}
	}
	slices.Sort(algorithms)
	e = e.Int("keys", len(keys)).Strs("algorithms", slices.Compact(algorithms))
	if len(ids) > 0 {
		e = e.Strs("key_ids", shown(ids))
	}
	if len(ignored) > 0 {
		e = e.Strs("ignored", shown(ignored))
	}
	e.Msg("keys loaded")
}

// shown bounds texts of a JWK Set, for the log.
func shown(texts []string) (short []string) {
	const maxTexts, maxBytes = 20, 300
	for _, text := range texts[:min(len(texts), maxTexts)] {
		short = append(short, strings.ToValidUTF8(text[:min(len(text), maxBytes)], ""))
	}
	return short
}
