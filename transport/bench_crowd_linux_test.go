package transport_test

import (
	"errors"
	"sync"
)

// A crowd is many sockets of one server that block.
type crowd []*socket

// newCrowd connects n sockets and prepares each, four at a time.
func newCrowd(address string, n int, prepare func(*socket) error) (crowd, error) {
	c := make(crowd, n)
	err := c.each(func(i int) (err error) {
		if c[i], err = dialSocket(address); err != nil {
			return err
		}
		return prepare(c[i])
	})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// each calls a function for each socket's number, four at a time. It returns the first error
// of each of the four.
func (c crowd) each(do func(i int) error) error {
	var errs [4]error
	var working sync.WaitGroup
	for first := range errs {
		working.Go(func() {
			for i := first; i < len(c) && errs[first] == nil; i += len(errs) {
				errs[first] = do(i)
			}
		})
	}
	working.Wait()
	return errors.Join(errs[:]...)
}

func (c crowd) close() (err error) {
	for _, s := range c {
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}
	return err
}
