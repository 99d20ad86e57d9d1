package guard_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"rtdb/transport/guard"
)

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://app.example":       "https://app.example",
		"https://APP.Example":       "https://app.example",
		"HTTPS://app.example":       "https://app.example",
		"http://app.example:80":     "http://app.example",
		"https://app.example:443":   "https://app.example",
		"https://app.example:80":    "https://app.example:80",
		"http://app.example:443":    "http://app.example:443",
		"http://127.0.0.1:3000":     "http://127.0.0.1:3000",
		"http://[::1]:80":           "http://[::1]",
		"":                          "",
		"*":                         "",
		"null":                      "",
		"app.example":               "",
		"https://":                  "",
		"file:///tmp":               "",
		"ws://app.example":          "",
		"https://app.example/":      "",
		"https://app.example?":      "",
		"https://app.example?x=1":   "",
		"https://app.example#x":     "",
		"https://user@app.example":  "",
		"https://app.example:port":  "",
		" https://app.example":      "",
		"https://app.example/path ": "",
	} {
		got, err := guard.ParseOrigin(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseOrigin(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestNewOriginsPanicsIfAnOriginWasNotParsed(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	guard.NewOrigins([]string{"https://app.example/"})
}

// The requests are to the server example.com.
func TestOriginsCheck(t *testing.T) {
	const allowed = "https://app.example"
	origins := guard.NewOrigins([]string{allowed})
	for name, c := range map[string]struct {
		method, origin, site string
		tls, strict          bool
		refused              bool
	}{
		"no page":                          {method: "POST"},
		"no page, strict":                  {method: "GET", strict: true},
		"the same origin":                  {method: "POST", origin: "http://example.com"},
		"the same origin, any case":        {method: "GET", origin: "http://EXAMPLE.com"},
		"TLS ends at a proxy":              {method: "POST", origin: "https://example.com"},
		"the same origin by TLS":           {method: "POST", origin: "https://example.com", tls: true},
		"http in a server with TLS":        {method: "POST", origin: "http://example.com", tls: true, refused: true},
		"another port":                     {method: "GET", origin: "http://example.com:81", refused: true},
		"another scheme":                   {method: "GET", origin: "ftp://example.com", refused: true},
		"a scheme and no host":             {method: "GET", origin: "http://", refused: true},
		"an allowed origin":                {method: "PUT", origin: allowed},
		"an allowed origin in capitals":    {method: "GET", origin: "HTTPS://APP.EXAMPLE", refused: true},
		"an allowed origin, another port":  {method: "GET", origin: allowed + ":8443", refused: true},
		"a site below an allowed origin":   {method: "GET", origin: "https://x.app.example", refused: true},
		"another origin":                   {method: "GET", origin: "https://evil.example", refused: true},
		"another origin says same-origin":  {method: "POST", origin: "https://evil.example", site: "same-origin", refused: true},
		"a page without an origin":         {method: "GET", origin: "null", refused: true},
		"an image of another site":         {method: "GET", site: "cross-site"},
		"an image of another site, strict": {method: "GET", site: "cross-site", strict: true, refused: true},
		"an image of a sibling, strict":    {method: "GET", site: "same-site", strict: true, refused: true},
		"an image of our own, strict":      {method: "GET", site: "same-origin", strict: true},
		"the address bar, strict":          {method: "GET", site: "none", strict: true},
		"a form of another site":           {method: "POST", site: "cross-site", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://example.com/data/k", nil)
			for header, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site} {
				if value != "" {
					r.Header.Set(header, value)
				}
			}
			if c.tls {
				r.TLS = new(tls.ConnectionState)
			}
			w := httptest.NewRecorder()
			err := origins.Check(w, r, c.strict)
			if c.refused != errors.Is(err, guard.ErrOrigin) || !c.refused && err != nil {
				t.Errorf("got %v, want refused %v", err, c.refused)
			}
			want := ""
			if c.origin == allowed {
				want = allowed
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("Access-Control-Allow-Origin is %q, want %q", got, want)
			}
			if got := w.Header().Get("Vary"); got != "Origin" {
				t.Errorf("Vary is %q, want Origin", got)
			}
		})
	}
}

// A server without allowed origins answers all pages in the same way, and caches need
// not know of origins.
func TestWithoutAllowedOriginsResponsesDoNotVary(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://example.com/", nil)
	if err := guard.NewOrigins(nil).Check(w, r, true); err != nil || len(w.Header()) != 0 {
		t.Errorf("got %v with %v, want no header", err, w.Header())
	}
}

func TestPreflight(t *testing.T) {
	for name, c := range map[string]struct{ origin, method, want string }{
		"an allowed page asks":      {"https://app.example", "PUT", "GET, PUT"},
		"an allowed page calls":     {"https://app.example", "", ""},
		"the server's own page":     {"http://example.com", "PUT", ""},
		"a request without a page":  {"", "PUT", ""},
		"neither page nor question": {"", "", ""},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodOptions, "http://example.com/data/k", nil)
		r.Header.Set("Access-Control-Request-Method", c.method)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if err := guard.NewOrigins([]string{"https://app.example"}).Check(w, r, false); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		guard.Preflight(w, r, "GET, PUT")
		for _, header := range []string{"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age"} {
			if got := w.Header().Get(header); (got != "") != (c.want != "") {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		if got := w.Header().Get("Access-Control-Allow-Methods"); got != c.want {
			t.Errorf("%s: the methods are %q, want %q", name, got, c.want)
		}
	}
}
