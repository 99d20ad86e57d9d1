package web

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed rtdb.js rtdb.d.ts
var clientFiles embed.FS

//go:embed console
var consoleFiles embed.FS

// The values of Content-Security-Policy.
const (
	// clientPolicy is for files that are not pages.
	clientPolicy = "default-src 'none'; frame-ancestors 'none'"

	consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

	// publicPolicy lets the user's pages load scripts, styles and data of any origin. Pages
	// of other sites cannot show them in a frame.
	publicPolicy = "base-uri 'self'; object-src 'none'; frame-ancestors 'self'"
)

// A Site is a folder of files. Many goroutines may use it.
type Site struct {
	files  fs.FS
	policy string
	packed *packer // nil: the files may change
}

// Client returns the site of the JavaScript client: rtdb.js and rtdb.d.ts.
func Client() *Site { return &Site{clientFiles, clientPolicy, newPacker()} }

// Console returns the site of the console. Its module loads ../rtdb.js, so the console must
// be served one level below the client.
func Console() *Site {
	files, err := fs.Sub(consoleFiles, "console")
	if err != nil {
		panic(err) // the name is not valid
	}
	return &Site{files, consolePolicy, newPacker()}
}

// Public returns the site of a folder of the user's own pages. The folder may change at any
// time. If it is the FS of an [os.Root], no link leads out of it.
func Public(folder fs.FS) *Site { return &Site{folder, publicPolicy, nil} }

// Find returns the file of a path. The path is decoded and has no leading slash. A path
// that is empty or ends with a slash means index.html below it. A path of a directory that
// has an index.html is found as a redirection to the path with a slash. ok is false if
// there is no such file, or it cannot be read.
func (s *Site) Find(path string) (f *File, ok bool) {
	name := path
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	if isHidden(name) || !fs.ValidPath(name) {
		return nil, false
	}
	switch info, err := fs.Stat(s.files, name); {
	case err != nil:
		return nil, false
	case info.IsDir():
		index, err := fs.Stat(s.files, name+"/index.html")
		if err != nil || !index.Mode().IsRegular() {
			return nil, false
		}
		return &File{site: s, name: name, isFolder: true}, true
	case !info.Mode().IsRegular():
		return nil, false
	}
	return &File{site: s, name: name}, true
}

// isHidden reports whether a path has an element that begins with a dot, such as .git or
// .env. Such files are seldom meant for the public, apart from .well-known (RFC 8615).
func isHidden(path string) bool {
	for element := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(element, ".") && element != ".well-known" {
			return true
		}
	}
	return false
}
