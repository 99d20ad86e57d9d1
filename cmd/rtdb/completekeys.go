package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"rtdb/transport/client"
)

const (
	maxCandidates  = 300
	completionPage = 100 // the server sends the values, too
)

// completeKeys returns the keys and levels that begin with a word, and for patterns also the
// wildcards. It returns those that it has got in time, and nothing after an error.
func (f *requestFlags) completeKeys(word string, patterns bool) (all []candidate) {
	_ = f.runUntil(context.Background(), func(ctx context.Context, c *client.Client) error {
		if patterns && hasWildcard(word) {
			all = matchingLevels(ctx, c, word)
			return nil
		}
		for l, err := range client.ListLevel[json.RawMessage](ctx, c, client.ListOptions{Prefix: word, PageSize: completionPage}) {
			if err != nil || len(all) == maxCandidates {
				break
			}
			all = append(all, candidate{text: l.Prefix + l.Entry.Key, level: l.Prefix != ""})
		}
		if patterns && len(all) > 0 && strings.LastIndexByte(word, '/')+1 == len(word) {
			all = append(all, candidate{text: word + "+/", level: true}, candidate{text: word + "#"})
		}
		return nil
	})
	return all
}

// hasWildcard reports whether a level before the one at the cursor is a wildcard.
func hasWildcard(word string) bool {
	levels := strings.Split(word, "/")
	return slices.Contains(levels[:len(levels)-1], "+")
}

// matchingLevels returns the continuations of a word that has wildcards: the levels of the
// keys that match it so far.
func matchingLevels(ctx context.Context, c *client.Client, word string) (all []candidate) {
	before := word[:strings.LastIndexByte(word, '/')+1]
	depth := strings.Count(before, "/")
	seen := make(map[string]bool)
	for e, err := range client.List[json.RawMessage](ctx, c, client.ListOptions{Pattern: before + "#", PageSize: completionPage}) {
		if err != nil || len(seen) == maxCandidates {
			break
		}
		levels := strings.Split(e.Key, "/")
		if len(levels) <= depth {
			continue
		}
		text, deeper := before+levels[depth], len(levels) > depth+1
		if deeper {
			text += "/"
		}
		if !seen[text] {
			seen[text] = true
			all = append(all, candidate{text: text, level: deeper})
		}
	}
	if before == word && len(all) > 0 {
		all = append(all, candidate{text: word + "#"})
	}
	return all
}
