package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"rtdb/transport/client"
)

const (
	// completionTime is how long a person waits for the keys that a tab brings.
	completionTime = 500 * time.Millisecond

	maxCandidates  = 300
	completionPage = 100 // the server sends the values, too
)

// completeKeys returns the keys and levels that begin with a word, and for patterns also the
// wildcards. It returns those that it has got in time, and nothing after an error.
func (f *clientFlags) completeKeys(word string, patterns bool) (all []candidate) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	url, options := f.clientOptions()
	c, err := client.Dial(ctx, url, options...)
	if err != nil {
		return nil
	}
	defer c.Close()
	if patterns {
		if all = matchingLevels(ctx, c, word); all != nil {
			return all
		}
	}
	for l, err := range client.ListLevel[json.RawMessage](ctx, c, client.ListOptions{Prefix: word, PageSize: completionPage}) {
		if err != nil || len(all) == maxCandidates {
			break
		}
		all = append(all, candidate{text: l.Prefix + l.Entry.Key, level: l.Prefix != ""})
	}
	if level := strings.LastIndexByte(word, '/') + 1; patterns && level == len(word) && len(all) > 0 {
		all = append(all, candidate{text: word + "+/", level: true}, candidate{text: word + "#"})
	}
	return all
}

// matchingLevels returns what may follow a word that has wildcards: the levels of the keys
// that match it so far. It returns nil if the word has none.
func matchingLevels(ctx context.Context, c *client.Client, word string) (all []candidate) {
	before := word[:strings.LastIndexByte(word, '/')+1]
	isWildcard := func(level string) bool { return level == "+" }
	if !slices.ContainsFunc(strings.Split(before, "/"), isWildcard) {
		return nil
	}
	depth := strings.Count(before, "/")
	seen := make(map[string]bool)
	all = []candidate{}
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
