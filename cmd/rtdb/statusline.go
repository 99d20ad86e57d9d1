package main

import (
	"io"
	"strings"
	"sync"
)

// A statusLine is the last line of a terminal. A new text replaces the old one in the same
// place, until the line is cleared. Lines of the log go through it, and are shown above it.
type statusLine struct {
	out io.Writer

	mu   sync.Mutex
	text string // the text that the terminal shows
}

// show replaces the text. "" clears the line.
func (p *statusLine) show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.out, p.eraseLocked()+text) // a queue never fails
	p.text = text
}

// eraseLocked returns characters that make the terminal overwrite the text. It uses spaces,
// which work on every terminal.
func (p *statusLine) eraseLocked() string {
	if p.text == "" {
		return ""
	}
	return "\r" + strings.Repeat(" ", len(p.text)) + "\r"
}

// Write writes whole lines of the log.
func (p *statusLine) Write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text == "" {
		return p.out.Write(lines)
	}
	_, err := io.WriteString(p.out, p.eraseLocked()+string(lines)+p.text)
	return len(lines), err
}
