package guard_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rtdb/transport/guard"
)

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://app.example":                 "https://app.example",
		"https://APP.Example":                 "https://app.example",
		"HTTPS://app.example":                 "https://app.example",
		"http://app.example:80":               "http://app.example",
		"https://app.example:443":             "https://app.example",
		"https://app.example:0443":            "https://app.example",
		"https://app.example:80":              "https://app.example:80",
		"http://app.example:443":              "http://app.example:443",
		"http://127.0.0.1:3000":               "http://127.0.0.1:3000",
		"http://[::1]:80":                     "http://[::1]",
		"http://[0:0::0:1]:3000":              "http://[::1]:3000",
		"https://app.example.":                "https://app.example",
		"https://app.example:":                "https://app.example",
		"https://bücher.example:8443":         "https://xn--bcher-kva.example:8443",
		"https://*.bücher.example":            "https://*.xn--bcher-kva.example",
		"https://XN--bcher-kva.example":       "https://xn--bcher-kva.example",
		"capacitor://localhost":               "capacitor://localhost",
		"ionic://localhost":                   "ionic://localhost",
		"tauri://localhost":                   "tauri://localhost",
		"http://tauri.localhost":              "http://tauri.localhost",
		"app://.":                             "app://.",
		"app://x":                             "app://x",
		"app://":                              "app://",
		"chrome-extension://abcdefgh":         "chrome-extension://abcdefgh",
		"vscode-webview://0a1b-2c.d":          "vscode-webview://0a1b-2c.d",
		"null":                                "null",
		"file://":                             "file://",
		"https://*.example.com":               "https://*.example.com",
		"HTTPS://*.Example.com:443":           "https://*.example.com",
		"https://*.example.com:8443":          "https://*.example.com:8443",
		"http://*.localhost:3000":             "http://*.localhost:3000",
		"":                                    "",
		"*":                                   "",
		"https://*":                           "",
		"*://app.example":                     "",
		"https://*.":                          "",
		"https://*.*.example.com":             "",
		"https://a*.example.com":              "",
		"https://a.*.example.com":             "",
		"https://*.[::1]":                     "",
		"app.example":                         "",
		"https://":                            "",
		"file:///tmp":                         "",
		"ws://app.example":                    "",
		"wss://app.example":                   "",
		"https://app.example/":                "",
		"https://app.example?":                "",
		"https://app.example?x=1":             "",
		"https://app.example#x":               "",
		"https://user@app.example":            "",
		"https://app.example:port":            "",
		"https://app.example:65536":           "",
		"https://app.example:80:80":           "",
		"http://[::1":                         "",
		"http://[::1]x":                       "",
		"http://[fe80::1%25eth0]":             "",
		"http://::1":                          "",
		" https://app.example":                "",
		"https://app.example/path ":           "",
		"https://b\u00fccher\ufffd.example":   "",
		"1http://app.example":                 "",
		"https://" + strings.Repeat("a", 600): "",
	} {
		got, err := guard.ParseOrigin(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseOrigin(%q) = %q, %v, want %q", text, got, err, want)
		}
		if want == "" {
			continue
		}
		if again, err := guard.ParseOrigin(want); again != want || err != nil {
			t.Errorf("ParseOrigin(%q) = %q, %v, want it unchanged", want, again, err)
		}
	}
	for text, say := range map[string]string{
		"*": "every website", "https://*": "every website", "https://app.example/": "write https://app.example in", "file:///tmp": "write file:// in",
		"https://*.example.com/x": "write https://*.example.com in", "wss://app.example": "http or https", "app.example": "https://app.example",
	} {
		if _, err := guard.ParseOrigin(text); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("ParseOrigin(%q): %v, want %q in it", text, err, say)
		}
	}
}

// Each row is a request to server.example, or to host, of a page of an origin.
func TestOriginsAreComparedAsBrowsersWriteThem(t *testing.T) {
	for _, c := range []struct {
		allowed, origin, host string
		may                   bool
	}{
		{"https://app.example", "https://app.example", "", true},
		{"https://app.example", "HTTPS://App.Example", "", true},
		{"https://app.example", "https://app.example:443", "", true},
		{"https://app.example", "https://app.example.", "", true},
		{"https://app.example", "https://app.example.:443", "", true},
		{"https://app.example", "https://app.example..", "", false},
		{"https://app.example", "https://app.example:80", "", false},
		{"https://app.example", "http://app.example", "", false},
		{"https://app.example", "http://app.example:443", "", false},
		{"https://app.example", "https://x.app.example", "", false},
		{"https://app.example", "https://app.example/", "", false},
		{"https://app.example", "https://app.example https://app.example", "", false},
		{"https://app.example", "https://user@app.example", "", false},
		{"https://app.example", "", "", false},
		{"https://app.example", "*", "", false},
		{"https://app.example", "null", "", false},
		{"http://app.example:80", "http://app.example", "", true},
		{"http://[0::1]:3000", "http://[::1]:3000", "", true},
		{"https://bücher.example", "https://xn--bcher-kva.example", "", true},
		{"https://bücher.example", "https://bücher.example", "", false}, // no browser sends this
		{"null", "null", "", true},
		{"null", "file://", "", false},
		{"null", "", "", false},
		{"file://", "file://", "", true},
		{"file://", "null", "", false},
		{"capacitor://localhost", "capacitor://localhost", "", true},
		{"capacitor://localhost", "ionic://localhost", "", false},
		{"capacitor://localhost", "http://localhost", "", false},
		{"ionic://localhost", "ionic://localhost", "", true},
		{"tauri://localhost", "tauri://localhost", "", true},
		{"http://tauri.localhost", "http://tauri.localhost", "", true},
		{"app://.", "app://.", "", true},
		{"app://x", "app://x", "", true},
		{"app://x", "app://y", "", false},
		{"chrome-extension://abcdefgh", "chrome-extension://abcdefgh", "", true},
		{"vscode-webview://0a1b", "vscode-webview://0a1b", "", true},

		{"https://*.example.com", "https://a.example.com", "", true},
		{"https://*.example.com", "https://a.b-c.d_e.example.com", "", true},
		{"https://*.example.com", "https://A.Example.COM:443", "", true},
		{"https://*.example.com", "https://a.example.com.", "", true},
		{"https://*.example.com", "https://example.com", "", false},
		{"https://*.example.com", "https://.example.com", "", false},
		{"https://*.example.com", "https://a..example.com", "", false},
		{"https://*.example.com", "https://evilexample.com", "", false},
		{"https://*.example.com", "https://x.example.com.evil.org", "", false},
		{"https://*.example.com", "https://evil.org/.example.com", "", false},
		{"https://*.example.com", "https://evil.org?.example.com", "", false},
		{"https://*.example.com", "https://evil.org#.example.com", "", false},
		{"https://*.example.com", "https://evil.org\\.example.com", "", false},
		{"https://*.example.com", "https://evil.org:80.example.com", "", false},
		{"https://*.example.com", "https://evil.org@a.example.com", "", false},
		{"https://*.example.com", "https://evil.org%2f.example.com", "", false},
		{"https://*.example.com", "https://*.example.com", "", false},
		{"https://*.example.com", "http://a.example.com", "", false},
		{"https://*.example.com", "https://a.example.com:8443", "", false},
		{"https://*.example.com", "", "", false},
		{"https://*.example.com", "*", "", false},
		{"https://*.example.com", "null", "", false},
		{"https://*.example.com:8443", "https://a.example.com:8443", "", true},
		{"https://*.example.com:8443", "https://a.example.com", "", false},
		{"http://*.localhost", "http://tauri.localhost", "", true},

		// The server's own pages.
		{"", "http://x", "x:80", true},
		{"", "http://x:80", "x", true},
		{"", "https://x", "x:443", true}, // a proxy ends TLS
		{"", "https://x:443", "x", true},
		{"", "https://x", "x", true},
		{"", "https://x", "x:80", false},
		{"", "http://x", "x:443", false},
		{"", "http://x:8080", "X.:8080", true},
		{"", "http://x:8080", "x", false},
		{"", "http://[::1]:8080", "[0::1]:8080", true},
		{"", "tauri://localhost", "localhost", false},
		{"", "null", "null", false},
		{"", "http://", "", false},
	} {
		var allowed []string
		if c.allowed != "" {
			text, err := guard.ParseOrigin(c.allowed)
			if err != nil {
				t.Fatal(err)
			}
			allowed = []string{text}
		}
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "http://server.example/data/k", nil)
			r.Header["Origin"] = []string{c.origin}
			if c.host != "" {
				r.Host = c.host
			}
			w := httptest.NewRecorder()
			err := guard.NewOrigins(allowed).Check(w, r, false)
			if c.may != (err == nil) {
				t.Errorf("%s from %q at %q with %q allowed: %v", method, c.origin, r.Host, c.allowed, err)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); (got != "") != (c.may && c.allowed != "") || got != "" && got != c.origin {
				t.Errorf("%s from %q with %q allowed: Access-Control-Allow-Origin is %q", method, c.origin, c.allowed, got)
			}
		}
	}
}

// A refusal names the origin and, if that helps, the one to allow. It does not repeat a
// header that is not an origin.
func TestARefusalNamesTheOrigin(t *testing.T) {
	for _, c := range []struct {
		sent           []string
		origin, remedy string
	}{
		{[]string{"http://localhost:5173"}, "http://localhost:5173", "http://localhost:5173"},
		{[]string{"HTTP://App.Example:80"}, "http://app.example", "http://app.example"},
		{[]string{"null"}, "null", "null"},
		{[]string{""}, "", ""},
		{[]string{"*"}, "", ""},
		{[]string{"https://a.example\"\n{\u2028\x9b"}, "", ""},
		{[]string{"https://" + strings.Repeat("a", 60_000)}, "", ""},
		{[]string{"https://app.example", "https://b.example"}, "", ""},
		{nil, "", ""},
	} {
		r := httptest.NewRequest("GET", "http://example.com/data/k", nil)
		r.Header["Origin"] = c.sent
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for fixed, origins := range map[bool]*guard.Origins{false: guard.NewOrigins([]string{"https://app.example"}), true: guard.OwnOrigin()} {
			var refused *guard.OriginError
			if err := origins.Check(httptest.NewRecorder(), r, true); !errors.As(err, &refused) || !errors.Is(err, guard.ErrOrigin) {
				t.Errorf("%.60q: %v", c.sent, err)
				continue
			}
			remedy := c.remedy
			if fixed {
				remedy = ""
			}
			if refused.Origin != c.origin || refused.Allow != remedy {
				t.Errorf("%.60q: %+v, want %s and %q", c.sent, refused, c.origin, remedy)
			}
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
		"two values":                       {method: "GET", origin: allowed + ", " + allowed, refused: true},
		"a write of an allowed page":       {method: "POST", origin: allowed, site: "cross-site"},
		"our own page by http, to https":   {method: "POST", origin: "http://example.com", site: "cross-site", refused: true},
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

// A page may send any header that it asks for, because libraries for tracing add their
// own. Other text is not repeated.
func TestPreflightAllowsTheHeadersThatAreAskedFor(t *testing.T) {
	const always = "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID"
	long := strings.Repeat("x-a,", 1500)
	for _, c := range []struct {
		asked []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"traceparent,tracestate,baggage"}, ", traceparent, tracestate, baggage"},
		{[]string{"sentry-trace, x-request-id", "x-b3-traceid"}, ", sentry-trace, x-request-id, x-b3-traceid"},
		{[]string{"newrelic, x-datadog-origin"}, ", newrelic, x-datadog-origin"},
		{[]string{"a b"}, ""},
		{[]string{"x-a,,x-b"}, ""},
		{[]string{"x-a:1"}, ""},
		{[]string{"x-a,\u00fc"}, ""},
		{[]string{long + "x-b"}, ""},
	} {
		r := httptest.NewRequest(http.MethodOptions, "http://example.com/data/k", nil)
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", "PUT")
		r.Header["Access-Control-Request-Headers"] = c.asked
		w := httptest.NewRecorder()
		if err := guard.NewOrigins([]string{"https://app.example"}).Check(w, r, false); err != nil {
			t.Fatal(err)
		}
		if !guard.Preflight(w, r, "GET, PUT") {
			t.Errorf("%.60q: not taken for a preflight", c.asked)
		}
		if got := w.Header().Get("Access-Control-Allow-Headers"); got != always+c.want {
			t.Errorf("%.60q: allowed %.200s, want %s", c.asked, got, always+c.want)
		}
	}
}
