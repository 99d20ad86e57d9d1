package demo_test

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"rtdb/cmd/rtdb/demo"
)

// Each page is short enough to be read, shows how to use the client, and takes nothing from
// elsewhere.
func TestPagesAreExamples(t *testing.T) {
	const most = 150 // lines of a page
	pages := demo.Pages()
	lines := make(map[string]int)
	dangerous := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|javascript:|https?://[a-z]`)
	err := fs.WalkDir(pages, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(pages, name)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "") // the name of SVG, not an address
		lines[path.Dir(name)] += strings.Count(text, "\n")
		if found := dangerous.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		for line := range strings.Lines(text) {
			if len(line) > 200 {
				t.Errorf("%s has a line of %d bytes: %.60s…", name, len(line), line)
			}
		}
		if path.Ext(name) == ".js" && name != "demo.js" && !strings.Contains(text, `import { connect } from "/rtdb.js"`) {
			t.Errorf("%s does not import the client", name)
		}
		if path.Ext(name) == ".html" && !strings.Contains(text, `http-equiv="Content-Security-Policy" content="default-src 'none';`) {
			t.Errorf("%s has no policy", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"dashboard", "chat", "editing", "devices"} {
		if n := lines[page]; n == 0 || n > most {
			t.Errorf("%s has %d lines, want 1 to %d", page, n, most)
		}
	}
}
