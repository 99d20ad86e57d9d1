package demo

import (
	"embed"
	"io/fs"
)

//go:embed pages
var pageFiles embed.FS

// Pages returns the web pages: a start page, and a folder for each use case. They load
// /rtdb.js from the server that serves them.
func Pages() fs.FS {
	pages, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		panic(err) // the name is not valid
	}
	return pages
}
