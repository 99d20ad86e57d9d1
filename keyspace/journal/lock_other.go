//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package journal

import (
	"errors"
	"os"
)

// lockFile returns an error: without a lock, two servers could destroy a store.
func lockFile(*os.File) error {
	return errors.New("this system has no file locks that rtdb can use, so it cannot keep the state")
}
