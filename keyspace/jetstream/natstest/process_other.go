//go:build !linux

package natstest

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }

// awaitStop does nothing: other systems have no call for it that leaves the end of the
// child to exec.Cmd.
func awaitStop(int) error { return nil }
