package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

const timeFormat = "2006-01-02T15:04:05.000Z07:00" // RFC 3339 with milliseconds

// zerolog has the form of times in variables of its package.
var setTimes = sync.OnceFunc(func() {
	zerolog.TimeFieldFormat = timeFormat
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
})

func newLogger(c config, out *os.File) (zerolog.Logger, error) {
	setTimes()
	if err := (logLevel{}).Change(c.LogLevel); err != nil {
		return zerolog.Nop(), err
	}
	terminal := isatty.IsTerminal(out.Fd())
	if c.LogFormat == "console" || c.LogFormat == "auto" && terminal {
		console := zerolog.ConsoleWriter{Out: out, NoColor: !terminal, TimeFormat: timeFormat, TimeLocation: time.UTC}
		return zerolog.New(console).With().Timestamp().Logger(), nil
	}
	return zerolog.New(escaper{out}).With().Timestamp().Logger(), nil
}

// A logLevel is the lowest level of all loggers of the process: zerolog has that
// in a variable of its package.
type logLevel struct{}

func (logLevel) Current() string { return zerolog.GlobalLevel().String() }

func (logLevel) Change(level string) error {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil || parsed < zerolog.TraceLevel || parsed > zerolog.ErrorLevel {
		return fmt.Errorf("no level: %q", level)
	}
	zerolog.SetGlobalLevel(parsed)
	return nil
}

// An escaper passes log lines on with everything but printable characters
// escaped as JSON does it (RFC 8259, section 7). zerolog leaves characters
// past ASCII as they are; some of those end a line for some readers (U+0085,
// U+2028), or change what a terminal shows (U+009B, U+202E). They stand only
// within strings.
type escaper struct {
	out io.Writer
}

func (e escaper) Write(line []byte) (int, error) {
	plain := !bytes.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) })
	if plain {
		return e.out.Write(line)
	}
	escaped := make([]byte, 0, 2*len(line))
	for _, r := range string(line) {
		switch {
		case r < utf8.RuneSelf || unicode.IsPrint(r):
			escaped = utf8.AppendRune(escaped, r)
		case r <= 0xffff:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		}
	}
	if _, err := e.out.Write(escaped); err != nil {
		return 0, err
	}
	return len(line), nil
}
