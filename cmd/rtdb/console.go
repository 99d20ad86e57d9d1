package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// frontFields are the fields that a console line shows right after the message, without
// their names: "http request PUT /data/{key} 200".
var frontFields = []string{"method", "route", "status"}

// consoleWriter returns a writer that turns JSON lines into lines for people. The other
// fields follow in the order in which people look for them, and then by name.
func consoleWriter(out io.Writer, color bool) zerolog.ConsoleWriter {
	return zerolog.ConsoleWriter{
		Out: out, NoColor: !color, TimeFormat: timeFormat, TimeLocation: time.UTC,
		PartsOrder: slices.Concat(
			[]string{zerolog.TimestampFieldName, zerolog.LevelFieldName, zerolog.MessageFieldName}, frontFields),
		FieldsExclude: frontFields,
		FieldsOrder:   []string{"error", "addr", "key", "topic", "action", "code", "reason", "duration_ms", "remote", "session"},
		FormatPartValueByName: func(value any, _ string) string {
			if value == nil {
				return ""
			}
			text := fmt.Sprint(value)
			if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return strconv.Quote(text) // a method is the client's
			}
			return text
		},
	}
}
