package terminal

import (
	"io"
	"os"
)

// Sequences of xterm, which every terminal of today knows.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l" // a screen of its own, no cursor, no line that wraps
	leave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// A Screen is the whole terminal.
type Screen struct{ out *os.File }

// NewScreen returns the screen of a terminal.
func NewScreen(out *os.File) *Screen { return &Screen{out} }

// Take takes the terminal. The caller must call Close, however it ends.
func (s *Screen) Take() error {
	_, err := io.WriteString(s.out, enter)
	return err
}

// Size returns the columns and the lines of the terminal. It returns 80 and 24 if they are
// not known.
func (s *Screen) Size() (columns, lines int) { return Size(s.out) }

// Draw shows lines in place of the last ones.
func (s *Screen) Draw(lines []string) error {
	_, err := io.WriteString(s.out, frame(lines))
	return err
}

// Close gives the terminal back as it was.
func (s *Screen) Close() error {
	_, err := io.WriteString(s.out, leave)
	return err
}

// Size returns the columns and the lines of a terminal, or 80 and 24 if they are not known.
func Size(out *os.File) (columns, lines int) {
	if columns, lines = size(out); columns > 0 && lines > 0 {
		return columns, lines
	}
	return 80, 24
}
