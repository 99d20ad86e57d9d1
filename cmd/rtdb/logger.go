package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

const timeFormat = "2006-01-02T15:04:05.000Z07:00" // RFC 3339 with milliseconds

// logFlags say which events are logged, and in which form.
type logFlags struct {
	LogLevel  string `default:"info" enum:"trace,debug,info,warn,error" env:"LOG_LEVEL" help:"Lowest level that is logged: trace, debug, info, warn or error."`
	LogFormat string `default:"auto" enum:"auto,json,console" env:"LOG_FORMAT" help:"json, console, or auto: console on a terminal, else json."`
}

// setTimeFormat sets zerolog's time format, which is global to the process.
var setTimeFormat = sync.OnceFunc(func() {
	zerolog.TimeFieldFormat = timeFormat
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
})

// logger returns a logger that writes to out, and sets the level of the process.
func (f *logFlags) logger(out io.Writer) (zerolog.Logger, error) {
	setTimeFormat()
	if err := (logLevel{}).Change(f.LogLevel); err != nil {
		return zerolog.Nop(), err
	}
	terminal := isTerminal(out)
	if f.LogFormat == "console" || f.LogFormat == "auto" && terminal {
		console := zerolog.ConsoleWriter{Out: out, NoColor: !terminal, TimeFormat: timeFormat, TimeLocation: time.UTC}
		return zerolog.New(console).With().Timestamp().Logger(), nil
	}
	return zerolog.New(escaper{out}).With().Timestamp().Logger(), nil
}

// A logLevel changes the lowest level that is logged, for transport's admin routes.
// zerolog's level is global to the process.
type logLevel struct{}

// Current returns the name of the level.
func (logLevel) Current() string { return zerolog.GlobalLevel().String() }

// Change sets the level: trace, debug, info, warn or error.
func (logLevel) Change(level string) error {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil || parsed < zerolog.TraceLevel || parsed > zerolog.ErrorLevel {
		return fmt.Errorf("expected trace, debug, info, warn or error but got %q", level)
	}
	zerolog.SetGlobalLevel(parsed)
	return nil
}

// An escaper writes log lines to out, with each character that is not printable
// escaped as in JSON (RFC 8259, section 7). zerolog escapes only ASCII; of the other
// characters, some end a line for some readers (U+0085, U+2028), and some change what
// a terminal shows (U+009B, U+202E). In a log line they occur only within strings.
type escaper struct {
	out io.Writer
}

// Write writes one or more whole lines.
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
