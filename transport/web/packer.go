package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A packer has the files of a site that never change. It compresses each file at the first
// request for it.
type packer struct {
	mu    sync.Mutex
	files map[string]*packedFile
}

// A packedFile is a file as it is and compressed, each with its entity tag (RFC 9110,
// section 8.8.3).
type packedFile struct {
	plain, zipped       []byte
	plainTag, zippedTag string
}

func newPacker() *packer { return &packer{files: make(map[string]*packedFile)} }

// servePacked sends a file that never changes, compressed if the client accepts that.
func (f *File) servePacked(w http.ResponseWriter, r *http.Request) error {
	packed, err := f.site.packed.file(f.site.files, f.name)
	if err != nil {
		return err
	}
	f.header(w)
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	content, tag := packed.plain, packed.plainTag
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		content, tag = packed.zipped, packed.zippedTag
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(content))
	return nil
}

// file returns a file that exists.
func (p *packer) file(files fs.FS, name string) (*packedFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.files[name]; ok {
		return f, nil
	}
	plain, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plain)
	tag := hex.EncodeToString(sum[:12])
	f := &packedFile{plain: plain, zipped: zipped.Bytes(), plainTag: `"` + tag + `"`, zippedTag: `"` + tag + `-gzip"`}
	p.files[name] = f
	return f, nil
}

// acceptsGzip reads the header Accept-Encoding (RFC 9110, section 12.5.3).
func acceptsGzip(header string) bool {
	for item := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			weight = strings.ReplaceAll(weight, " ", "")
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}
