package main

import (
	"os"
	"sync"
	"time"

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
	level, err := zerolog.ParseLevel(c.LogLevel)
	if err != nil {
		return zerolog.Nop(), err
	}
	terminal := isatty.IsTerminal(out.Fd())
	if c.LogFormat == "console" || c.LogFormat == "auto" && terminal {
		console := zerolog.ConsoleWriter{Out: out, NoColor: !terminal, TimeFormat: timeFormat, TimeLocation: time.UTC}
		return zerolog.New(console).Level(level).With().Timestamp().Logger(), nil
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), nil
}
