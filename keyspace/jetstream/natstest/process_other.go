//go:build !linux

package natstest

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }

// awaitStop does nothing: other systems cannot wait without taking the end of the
// child to exec.Cmd.
func awaitStop(int) error { return nil }
