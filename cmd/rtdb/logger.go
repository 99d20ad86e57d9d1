package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mattn/go-colorable"
	"github.com/rs/zerolog"
)

const timeFormat = "2006-01-02T15:04:05.000Z07:00" // RFC 3339 with milliseconds

// logFlags say which events are logged, and in which form.
type logFlags struct {
	LogLevel  levelName  `default:"info" env:"LOG_LEVEL" help:"Lowest level that is logged: trace, debug, info, warn or error."`
	LogFormat formatName `default:"auto" env:"LOG_FORMAT" help:"json, console, or auto: console on a terminal, else json."`

	node string // in each line; "": in none
}

// A levelName is the name of a log level, in lower case.
type levelName string

// UnmarshalText reads a level, in upper or lower case. warning is another name of warn.
func (l *levelName) UnmarshalText(text []byte) error {
	level, err := parseLevel(string(text))
	*l = levelName(level.String())
	return err
}

// A formatName is the name of a form of the log, in lower case.
type formatName string

// UnmarshalText reads a form of the log, in upper or lower case.
func (f *formatName) UnmarshalText(text []byte) error {
	*f = formatName(strings.ToLower(string(text)))
	switch *f {
	case "auto", "json", "console":
		return nil
	}
	return fmt.Errorf("expected auto, json or console but got %q", text)
}

// setTimeFormat sets zerolog's time format, which is global to the process.
var setTimeFormat = sync.OnceFunc(func() {
	zerolog.TimeFieldFormat = timeFormat
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
})

// A serverLog is the log of a server. The caller must close the queue.
type serverLog struct {
	zerolog.Logger
	queue     *logQueue
	isConsole bool        // it has lines for people instead of JSON
	progress  *statusLine // below the lines of the log; nil if a person does not see it
}

// logger returns a log that writes to out, and sets the level of the process.
func (f *logFlags) logger(out io.Writer) (l serverLog, err error) {
	setTimeFormat()
	if err := (logLevel{}).Change(string(f.LogLevel)); err != nil {
		return l, err
	}
	terminal := isTerminal(out)
	l.isConsole = f.LogFormat == "console" || f.LogFormat == "auto" && terminal
	form := func(out io.Writer) zerolog.Logger {
		if l.isConsole {
			out = consoleWriter(out, terminal)
		} else {
			out = escaper{out}
		}
		with := zerolog.New(out).With().Timestamp()
		if f.node != "" {
			with = with.Str("node", f.node)
		}
		return with.Logger()
	}
	if file, ok := out.(*os.File); ok && l.isConsole {
		out = colorable.NewColorable(file) // for Windows, which needs calls for colours
	}
	l.queue = newLogQueue(out, func(lines uint64) []byte {
		var line bytes.Buffer
		notice := form(&line)
		// Log is not subject to the lowest level: lost lines may be errors.
		notice.Log().Str(zerolog.LevelFieldName, "warn").Uint64("lines", lines).Msg("log lines dropped")
		return line.Bytes()
	})
	if l.isConsole && terminal {
		l.progress = &statusLine{out: l.queue}
		l.Logger = form(l.progress)
	} else {
		l.Logger = form(l.queue)
	}
	return l, nil
}

// A logLevel changes the lowest level that is logged, for transport's admin routes.
// zerolog's level is global to the process.
type logLevel struct{}

// Current returns the name of the level.
func (logLevel) Current() string { return zerolog.GlobalLevel().String() }

// Change sets the level, by a name that parseLevel reads.
func (logLevel) Change(level string) error {
	parsed, err := parseLevel(level)
	if err != nil {
		return err
	}
	zerolog.SetGlobalLevel(parsed)
	return nil
}

// parseLevel reads trace, debug, info, warn or error, in upper or lower case. warning is
// another name of warn.
func parseLevel(text string) (zerolog.Level, error) {
	switch strings.ToLower(text) {
	case "trace":
		return zerolog.TraceLevel, nil
	case "debug":
		return zerolog.DebugLevel, nil
	case "info":
		return zerolog.InfoLevel, nil
	case "warn", "warning":
		return zerolog.WarnLevel, nil
	case "error":
		return zerolog.ErrorLevel, nil
	}
	return zerolog.NoLevel, fmt.Errorf("expected trace, debug, info, warn or error but got %q", text)
}

// An escaper writes log lines to out, with each character that is not printable
// escaped as in JSON (RFC 8259, section 7). zerolog escapes only ASCII; of the other
// characters, some end a line for some readers (U+0085, U+2028), and some change what
// a terminal shows (U+009B, U+202E). In a log line they occur only within strings.
type escaper struct {
	out io.Writer
}

// isHidden reports whether an escaper escapes r.
func isHidden(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) }

// Write writes one or more whole lines.
func (e escaper) Write(line []byte) (int, error) {
	// To decode each rune of the three lines of a connection took 1% of its CPU (BenchmarkConnect).
	isASCII := !slices.ContainsFunc(line, func(b byte) bool { return b >= utf8.RuneSelf })
	if isASCII || !bytes.ContainsFunc(line, isHidden) {
		return e.out.Write(line)
	}
	escaped := make([]byte, 0, 2*len(line))
	for _, r := range string(line) {
		switch {
		case !isHidden(r):
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
