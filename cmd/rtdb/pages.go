package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// pageFlags are the pages that the server has for browsers.
type pageFlags struct {
	Console bool   `default:"true" env:"CONSOLE" help:"Serve the console at /console/: a page that shows and edits the data. --console=false turns it off."`
	Public  string `env:"PUBLIC" placeholder:"DIR" help:"Directory whose files are served at /, beside the API, to everybody."`

	public *os.Root // nil without a directory
}

// check opens the directory.
func (f *pageFlags) check() error {
	if f.Public == "" {
		return nil
	}
	var err error
	if f.public, err = os.OpenRoot(f.Public); err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("--public ($PUBLIC): expected a directory that can be read but got %q: %w", f.Public, err)
	}
	return nil
}

// files returns the files of the directory, or nil. No link leads out of it.
func (f *pageFlags) files() fs.FS {
	if f.public == nil {
		return nil
	}
	return f.public.FS()
}
