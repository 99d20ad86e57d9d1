package web

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// A File is a file that [Site.Find] has found.
type File struct {
	site     *Site
	name     string
	isFolder bool // it is a directory with an index.html
}

// Serve answers GET and HEAD. It understands conditions and ranges (RFC 9110, sections 13
// and 14). If the file cannot be read, Serve has written nothing and returns the error: one
// that wraps [io/fs.ErrNotExist] if the file was removed since it was found.
func (f *File) Serve(w http.ResponseWriter, r *http.Request) error {
	switch {
	case f.isFolder:
		f.header(w)
		// Relative, because a proxy may have removed a prefix of the path.
		to := url.URL{Path: "./" + path.Base(f.name) + "/", RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", to.String())
		w.WriteHeader(http.StatusMovedPermanently)
		return nil
	case f.site.packed != nil:
		return f.servePacked(w, r)
	}
	file, err := f.site.files.Open(f.name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	content, ok := file.(io.ReadSeeker)
	if !ok {
		return fmt.Errorf("web: the file %q is not an io.Seeker: serve a folder of os.DirFS or os.Root", f.name)
	}
	tag, err := entityTag(info, content)
	if err != nil {
		return err
	}
	f.header(w)
	w.Header().Set("ETag", tag)
	http.ServeContent(w, r, f.name, info.ModTime(), content)
	return nil
}

// entityTag returns the entity tag of a file (RFC 9110, section 8.8.3): its time and size, as
// nginx makes it, because it takes too long to read a large file. A file without a time, such
// as one of package embed, has the checksum of its content as tag.
func entityTag(info fs.FileInfo, content io.ReadSeeker) (string, error) {
	if !info.ModTime().IsZero() {
		return fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()), nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return "", err
	}
	_, err := content.Seek(0, io.SeekStart)
	return fmt.Sprintf(`"%x"`, sum.Sum(nil)[:12]), err
}

// header sets the headers that do not depend on the content.
func (f *File) header(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", f.site.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // a browser may keep a copy, and asks before it uses it
	if !f.isFolder {
		h.Set("Content-Type", contentType(f.name))
	}
}

// contentTypes are those that must not depend on the tables of the machine. A browser does
// not run a module of another type.
var contentTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/x-icon",
	".jpg":         "image/jpeg",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".map":         "application/json",
	".md":          "text/markdown; charset=utf-8",
	".mjs":         "text/javascript; charset=utf-8",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".ts":          "text/plain; charset=utf-8", // TypeScript; the tables say MPEG
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// contentType returns the type of a file by the end of its name.
func contentType(name string) string {
	extension := strings.ToLower(path.Ext(name))
	if t, ok := contentTypes[extension]; ok {
		return t
	}
	if t := mime.TypeByExtension(extension); t != "" {
		return t
	}
	return "application/octet-stream"
}
