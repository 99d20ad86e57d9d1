package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// The exit statuses.
const (
	exitOK       = 0
	exitFailure  = 1 // cannot listen, cannot serve, not healthy
	exitBadUsage = 2 // a setting that makes no sense
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version string

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status.
func run(args []string, stdout io.Writer, stderr *os.File) int {
	line, command, err := parse(args, stdout)
	if err != nil {
		complain(stderr, err)
		if slices.Contains(args, "health") {
			return exitFailure // it knows no other
		}
		return exitBadUsage
	}
	switch command {
	case "version":
		fmt.Fprintln(stdout, "rtdb", versionText())
		return exitOK
	case "health":
		err = line.Health.run(line.config)
	case "token make":
		err = line.Token.Make.run(line.JWTSecret, stdout)
	case "token inspect", "token inspect <token>":
		keys, _ := line.keys() // it was read before
		err = line.Token.Inspect.run(keys, stdout)
	case "bench":
		err = line.Bench.run(stdout, stderr)
	default:
		err = serve(line.config, stderr)
	}
	switch {
	case err == nil:
		return exitOK
	case !errors.Is(err, errLogged):
		complain(stderr, err)
	}
	return exitFailure
}

// complain prints an error as one plain line.
func complain(w io.Writer, err error) {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	fmt.Fprintln(w, "rtdb: "+text)
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
