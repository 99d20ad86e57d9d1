package auth_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/auth"
)

// A provider is an identity provider without a network.
type provider struct {
	mu      sync.Mutex
	set     []byte        // nil: it does not answer
	delay   time.Duration // before the answer
	fetches []time.Time
	reports []auth.Report
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.fetches = append(p.fetches, time.Now())
	set, delay := p.set, p.delay
	p.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if set == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(set))), Request: r}, nil
}

func (p *provider) report(r auth.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports = append(p.reports, r)
}

func (p *provider) serve(set []byte, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set, p.delay = set, delay
}

// takeReports returns the reports since the last call, in short.
func (p *provider) takeReports() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.reports {
		if r.Source != "https://id.example/jwks" {
			all = append(all, "source "+r.Source)
		}
		all = append(all, fmt.Sprintf("%d keys, %d ignored, failed %v", len(r.Keys), len(r.Ignored), r.Err != nil))
	}
	p.reports = nil
	return all
}

func (p *provider) takeFetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.fetches)
	p.fetches = nil
	return n
}

// inBubble runs a test with Keys that follow a provider.
func inBubble(t *testing.T, set []byte, test func(t *testing.T, p *provider, keys *auth.Keys, r *auth.Remote)) {
	synctest.Test(t, func(t *testing.T) {
		p := &provider{set: set, delay: time.Millisecond}
		keys := auth.NewKeys(auth.Rules{})
		r := auth.FollowBy(p, keys, "https://id.example/jwks?key=hidden", p.report)
		defer r.Close()
		test(t, p, keys, r)
	})
}

func wantReports(t *testing.T, p *provider, want ...string) {
	t.Helper()
	if got := p.takeReports(); !slices.Equal(got, want) {
		t.Errorf("reports %q, want %q", got, want)
	}
}

// The keys count from the first fetch on, for which the first token waits. A key that the
// provider adds counts at once, and one that it removes no longer than five minutes.
func TestARemoteFollowsTheProvider(t *testing.T) {
	one, two := keysOf(t)["EdDSA"], keysOf(t)["RS256"]
	inBubble(t, setOf(t, jwk(t, one, "kid", "1")), func(t *testing.T, p *provider, keys *auth.Keys, r *auth.Remote) {
		accept := func(key crypto.Signer, kid string) {
			t.Helper()
			if _, err := keys.Verify(signedBy(t, key, "kid", kid)); err != nil {
				t.Fatal(err)
			}
		}
		accept(one, "1")
		wantReports(t, p, "1 keys, 0 ignored, failed false")
		time.Sleep(15 * time.Second)
		p.serve(setOf(t, jwk(t, one, "kid", "1"), jwk(t, two, "kid", "2"), jwk(t, two, "use", "enc")), time.Second)
		began := time.Now()
		accept(two, "2")
		if took := time.Since(began); took != time.Second {
			t.Errorf("the new key counts after %v, want the time of one fetch", took)
		}
		if n := p.takeFetches(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		synctest.Wait()
		wantReports(t, p, "2 keys, 1 ignored, failed false")

		p.serve(setOf(t, jwk(t, two, "kid", "2")), 0)
		time.Sleep(5*time.Minute - time.Second)
		accept(one, "1")
		time.Sleep(2 * time.Second)
		refused(t, keys, "a removed key", signedBy(t, one, "kid", "1"), `"kid" names no key`)
		wantReports(t, p, "1 keys, 0 ignored, failed false")
		p.takeFetches()
		time.Sleep(time.Hour)
		if n := p.takeFetches(); n != 12 { // the removed key caused the first, after ten seconds
			t.Errorf("%d fetches in an hour, want 12", n)
		}
		wantReports(t, p)
		r.Refresh()
		synctest.Wait()
		if n := p.takeFetches(); n != 1 {
			t.Errorf("%d fetches after Refresh, want 1", n)
		}
	})
}

// However many tokens with unknown keys come, they cause a fetch in ten seconds at most.
// Tokens that are refused for another reason cause none.
func TestUnknownKeysCauseFewFetches(t *testing.T) {
	key, other := keysOf(t)["EdDSA"], keysOf(t)["EdDSA"]
	inBubble(t, setOf(t, jwk(t, key, "kid", "1")), func(t *testing.T, p *provider, keys *auth.Keys, r *auth.Remote) {
		synctest.Wait()
		time.Sleep(time.Minute)
		p.takeFetches()
		for range 50 {
			refused(t, keys, "a signature", signedBy(t, other, "kid", "1"), "signature")
			refused(t, keys, "no token", "x.y.z", "not a JSON Web Token")
			refused(t, keys, "none", unsigned(t), "EdDSA")
			time.Sleep(time.Second)
		}
		if n := p.takeFetches(); n != 0 {
			t.Errorf("%d fetches for tokens of known keys", n)
		}
		for i := range 1000 {
			refused(t, keys, "an ID", signedBy(t, other, "kid", fmt.Sprint("x", i)), `"kid" names no key`)
			time.Sleep(100 * time.Millisecond)
		}
		if n := p.takeFetches(); n < 9 || n > 11 {
			t.Errorf("%d fetches in 100 s, want 10", n)
		}
		refused(t, keys, "no ID", signedBy(t, other), "signature")
	})
}

// Before the provider answers, Verify returns ErrNoKeys, and waits no longer than
// RenewTimeout. A provider that fails later leaves the keys in force. Each reason is
// reported once, or again after Refresh.
func TestAProviderThatFails(t *testing.T) {
	key := keysOf(t)["EdDSA"]
	inBubble(t, nil, func(t *testing.T, p *provider, keys *auth.Keys, r *auth.Remote) {
		token := signedBy(t, key, "kid", "1")
		if _, err := keys.Verify(token); err != auth.ErrNoKeys {
			t.Errorf("without keys: %v", err)
		}
		refused(t, keys, "no token", "x", "not a JSON Web Token")
		time.Sleep(10 * time.Minute)
		if n := p.takeFetches(); n < 10 || n > 18 {
			t.Errorf("%d fetches in ten minutes, want some 15", n)
		}
		wantReports(t, p, "0 keys, 0 ignored, failed true")
		r.Refresh()
		time.Sleep(500 * time.Millisecond) // less than any retry
		wantReports(t, p, "0 keys, 0 ignored, failed true")
		p.serve([]byte("{}"), time.Hour)
		r.Refresh()
		synctest.Wait()
		began := time.Now()
		if _, err := keys.Verify(token); err != auth.ErrNoKeys || time.Since(began) != auth.RenewTimeout {
			t.Errorf("a provider that hangs: %v after %v", err, time.Since(began))
		}
		p.serve(setOf(t, jwk(t, key, "kid", "1")), 0)
		time.Sleep(2 * time.Minute)
		if _, err := keys.Verify(token); err != nil {
			t.Errorf("after the provider answers: %v", err)
		}
		p.takeReports()
		for _, set := range [][]byte{nil, []byte("<html>"), []byte(`{"keys":[]}`), []byte(strings.Repeat(" ", 1<<20+1))} {
			p.serve(set, 0)
			time.Sleep(time.Hour)
			wantReports(t, p, "1 keys, 0 ignored, failed true")
			if _, err := keys.Verify(signedBy(t, key, "kid", "1")); err != nil {
				t.Errorf("the provider sends %.20q: %v", set, err)
			}
		}
		p.serve(setOf(t, jwk(t, key, "kid", "1")), 0)
		time.Sleep(2 * time.Minute)
		wantReports(t, p, "1 keys, 0 ignored, failed false")
	})
}

// Over a real connection: redirects are followed only to https or this machine, and an
// answer that is not 200 is an error.
func TestFetchOverHTTP(t *testing.T) {
	key := keysOf(t)["EdDSA"]
	set := setOf(t, jwk(t, key, "kid", "1"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keys":
			_, _ = w.Write(set)
		case "/moved":
			http.Redirect(w, r, "/keys", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://id.example/keys", http.StatusFound)
		case "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat(" ", 1<<20+1)))
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(" "))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{
		"/keys": "", "/moved": "", "/away": "only for this machine", "/circle": "too many redirects",
		"/long": "longer than", "/cut": "EOF", "/none": "status 404",
	} {
		keys := auth.NewKeys(auth.Rules{})
		err := auth.Fetch(t.Context(), keys, server.URL+path+"?secret=hidden")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if _, verified := keys.Verify(signedBy(t, key, "kid", "1")); (verified == nil) != (err == nil) {
			t.Errorf("%s: %v, but a token is verified with %v", path, err, verified)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := auth.Fetch(ended, auth.NewKeys(auth.Rules{}), server.URL+"/keys"); err == nil {
		t.Error("a fetch whose context has ended succeeds")
	}
	keys := auth.NewKeys(auth.Rules{})
	r := auth.Follow(keys, server.URL+"/keys", func(auth.Report) {})
	if _, err := keys.Verify(signedBy(t, key, "kid", "1")); err != nil {
		t.Errorf("the first token: %v", err)
	}
	r.Close()
	r.Close()
}

func TestCheckURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://id.example/jwks?x=1": true, "http://localhost:8080/jwks": true, "http://127.0.0.1/": true, "http://[::1]:1/": true,
		"http://id.example/jwks": false, "http://localhost.example/": false, "http://0.0.0.0/": false, "https://": false, "file:///etc/keys": false,
		"id.example": false, "": false, "https://user:password@id.example/": false, "http://127.0.0.1@id.example/": false, ":": false,
	} {
		if err := auth.CheckURL(url); (err == nil) != ok {
			t.Errorf("%q: %v, want it accepted: %v", url, err, ok)
		}
	}
}
