package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"rtdb/keyspace/journal"
)

// storageFlags are the directory of the state, and its settings.
type storageFlags struct {
	DataDir     string    `env:"DATA_DIR" placeholder:"DIR" help:"Directory that keeps the state. It is made if it does not exist."`
	Fsync       fsyncMode `default:"always" env:"FSYNC" help:"When a write survives a power cut: always (before its answer), after a time such as 100ms, or never (the system decides)."`
	DiskReserve byteSize  `default:"256MiB" env:"DISK_RESERVE" help:"Free space of the disk below which values are refused. 0 means no reserve."`

	withoutUse []string // settings that count only with a directory, and were given without one
}

// check notes the settings that have no effect. They are not an error, because several
// servers may share a configuration. But an operator that sets --fsync always must not
// believe that the state is kept, so the start logs a warning.
func (f *storageFlags) check(command *kong.Context) {
	if f.DataDir == "" {
		f.withoutUse = given(command, "fsync", "disk-reserve")
	}
}

// given returns those of some settings that the arguments or the environment set.
func given(command *kong.Context, flags ...string) (settings []string) {
	for _, step := range command.Path {
		if step.Flag != nil && !step.Resolved && slices.Contains(flags, step.Flag.Name) {
			settings = append(settings, "--"+step.Flag.Name)
		}
	}
	for _, flag := range command.Flags() {
		for _, name := range flag.Envs {
			if slices.Contains(flags, flag.Name) && os.Getenv(name) != "" {
				settings = append(settings, "$"+name)
			}
		}
	}
	return settings
}

// An fsyncMode says when writes are made durable, as [journal.Options].Fsync does.
type fsyncMode time.Duration

// The shortest and the longest interval of an fsyncMode. A disk takes at least 0.1 ms to make
// data durable. A longer interval than
// a minute would lose too many writes.
const (
	minFsync = time.Millisecond
	maxFsync = time.Minute
)

// UnmarshalText reads always, never, or a duration, in upper or lower case.
func (m *fsyncMode) UnmarshalText(text []byte) error {
	switch mode := strings.ToLower(string(text)); mode {
	case "always":
		*m = fsyncMode(journal.Always)
	case "never":
		*m = fsyncMode(journal.Never)
	default:
		interval, err := time.ParseDuration(mode)
		if err != nil || interval < minFsync || interval > maxFsync {
			return fmt.Errorf("expected always, never, or a duration from 1ms to 1m such as 100ms, but got %q", text)
		}
		*m = fsyncMode(interval)
	}
	return nil
}

func (m fsyncMode) String() string {
	switch time.Duration(m) {
	case journal.Always:
		return "always"
	case journal.Never:
		return "never"
	}
	return time.Duration(m).String()
}

// A byteSize is a number of bytes.
type byteSize int64

// byteUnits are the units of a byteSize, in lower case.
var byteUnits = map[string]float64{
	"": 1, "b": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

var errNotBytes = errors.New("expected a size such as 256MiB, 1GB or a number of bytes")

// UnmarshalText reads a number with a unit, in upper or lower case. Without a unit it is a
// number of bytes.
func (s *byteSize) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := byteUnits[strings.ToLower(string(text[len(number):]))]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	size := n * unit
	if !known || err != nil || math.IsNaN(n) || n < 0 || size != math.Trunc(size) || size >= math.MaxInt64 {
		return fmt.Errorf("%w, but got %q", errNotBytes, text)
	}
	*s = byteSize(size)
	return nil
}
