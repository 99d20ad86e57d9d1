package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// pageFlags select the pages that the server serves to browsers.
type pageFlags struct {
	Console bool   `default:"true" env:"CONSOLE" help:"Serve the console at /console/: a page that shows and edits the data. --console=false turns it off."`
	Public  string `env:"PUBLIC" placeholder:"DIR" help:"Directory whose files are served at /, beside the API, to everybody."`

	public fs.FS // files served at /; nil: none. No link leads out of it.
}

// check opens the directory.
func (f *pageFlags) check() error {
	if f.Public == "" {
		return nil
	}
	root, err := os.OpenRoot(f.Public)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("--public ($PUBLIC): expected a directory that can be read but got %q: %w", f.Public, err)
	}
	f.public = root.FS()
	return nil
}
