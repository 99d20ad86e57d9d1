//go:build !linux

package bench

type timer = plainTimer

func newTimer() *timer { return newPlainTimer() }
