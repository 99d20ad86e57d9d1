package main

import (
	"fmt"
	"runtime/debug"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version string

// A versionCommand prints the version of the program.
type versionCommand struct{}

// Run prints the version.
func (*versionCommand) Run(s *streams) error {
	_, err := fmt.Fprintln(s.out, "rtdb", versionText())
	return err
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
