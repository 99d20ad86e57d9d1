package auth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// RenewTimeout is the longest time that Verify waits for newer keys.
	RenewTimeout = 3 * time.Second

	// refreshInterval is the time between two fetches of a JWK Set that did not fail. So
	// long may a key that the identity provider has removed still count.
	refreshInterval = 5 * time.Minute

	// minInterval is the shortest time between two fetches that tokens with unknown keys
	// cause. Everybody can send such tokens.
	minInterval = 10 * time.Second

	// After a failure the next fetch comes after firstRetry, and then after twice the time
	// before, up to lastRetry.
	firstRetry = time.Second
	lastRetry  = time.Minute

	fetchTimeout  = 5 * time.Second // for the whole response
	maxSetBytes   = 1 << 20         // of a JWK Set
	maxRedirects  = 3
	maxSetHeaders = 64 << 10
)

// A Remote keeps Keys up to date with the JWK Set at a URL. It fetches the set at once,
// every five minutes, and when a token names a key that is not known, but then at most
// every ten seconds. If a fetch fails, the earlier keys stay in force, and the next one
// comes soon.
type Remote struct {
	keys   *Keys
	url    string
	source string // the url without what may be secret
	client http.Client
	report func(Report)

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	now     chan struct{} // has an item if the next fetch is due at once
	soon    chan struct{} // has an item if it is due when minInterval has passed
	asked   atomic.Bool   // Refresh was called since the last fetch began
	running sync.WaitGroup
	waiting atomic.Int32 // calls of renew

	mu       sync.Mutex
	fetching bool
	ended    time.Time     // of the last fetch
	round    chan struct{} // closed at the end of the fetch that is under way, or of the next one
}

// A Report says what a Remote has fetched.
type Report struct {
	Source  string   // the URL without its query
	Keys    []Key    // that are in force now
	Ignored []string // why keys of the set are not in force
	Err     error    // why the fetch failed; the keys are the earlier ones then
}

// CheckURL returns an error if url is not fit for a JWK Set: it must be https, or http to
// this machine, because everybody on the way could replace the keys.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the URL is malformed")
	}
	return checkURL(u)
}

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme == "https" && u.Host != "", u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return errors.New("expected a URL like https://example.com/jwks.json; http is only for this machine")
	}
	if u.User != nil {
		return errors.New("the URL has a user name: an identity provider's keys need none")
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// Follow returns a Remote that puts the JWK Set at a URL into force, and starts it. The URL
// must have passed CheckURL. No token must be verified before. Follow does not wait for the
// first fetch: Verify does. report is called, one call at a time, when the keys have
// changed, and for each new reason of a failure. Close ends the Remote.
func Follow(keys *Keys, url string, report func(Report)) *Remote {
	r := newRemote(keys, url)
	r.start(report)
	return r
}

func (r *Remote) start(report func(Report)) {
	r.report, r.fetching, r.keys.renew = report, true, r.renew
	r.running.Go(r.run)
}

// Fetch puts the JWK Set at a URL into force, once. The URL must have passed CheckURL.
func Fetch(ctx context.Context, keys *Keys, url string) error {
	set, _, err := newRemote(keys, url).fetch(ctx)
	if err == nil {
		keys.Use(url, set)
	}
	return err
}

func newRemote(keys *Keys, address string) *Remote {
	r := &Remote{
		keys: keys, url: address, now: make(chan struct{}, 1), soon: make(chan struct{}, 1), round: make(chan struct{}),
		client: http.Client{
			Timeout: fetchTimeout,
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: fetchTimeout}).DialContext,
				ForceAttemptHTTP2:      true,
				DisableKeepAlives:      true, // the next fetch is minutes away
				MaxResponseHeaderBytes: maxSetHeaders,
			},
			CheckRedirect: func(r *http.Request, via []*http.Request) error {
				if len(via) > maxRedirects {
					return errors.New("too many redirects")
				}
				if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
					return errors.New("a redirect leads from https to another scheme")
				}
				return checkURL(r.URL)
			},
		},
	}
	if u, err := url.Parse(address); err == nil {
		r.source = u.Scheme + "://" + u.Host + u.EscapedPath()
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Refresh makes the next fetch due at once. It does not wait for it. If the fetch fails,
// that is reported even if the reason is an old one.
func (r *Remote) Refresh() {
	r.asked.Store(true)
	signal(r.now)
}

// Close ends the fetching. It may be called more than once.
func (r *Remote) Close() {
	r.cancel()
	r.running.Wait()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run fetches the set until Close.
func (r *Remote) run() {
	var old []Key
	var failure string // the last one that was reported; "" after a success
	for wait := firstRetry; ; {
		asked := r.asked.Swap(false)
		keys, ignored, err := r.fetch(r.ctx)
		switch {
		case r.ctx.Err() != nil:
		case err != nil:
			if asked || err.Error() != failure {
				failure = err.Error()
				r.report(Report{Source: r.source, Keys: old, Err: err})
			}
		default:
			r.keys.Use(r.url, keys)
			if failure != "" || !same(keys, old) {
				r.report(Report{Source: r.source, Keys: keys, Ignored: ignored})
			}
			old, failure = keys, ""
		}
		r.end()
		if err == nil {
			wait = firstRetry
			err = r.wait(refreshInterval)
		} else {
			err = r.wait(wait)
			wait = min(2*wait, lastRetry)
		}
		if err != nil {
			return
		}
	}
}

// same reports whether two sets have the same keys.
func same(a, b []Key) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		k, ok := a[i].key.(interface{ Equal(x crypto.PublicKey) bool })
		if a[i].id != b[i].id || !ok || !k.Equal(b[i].key) {
			return false
		}
	}
	return true
}

// wait waits until the next fetch is due, no longer than most. It returns an error if the
// Remote is closed.
func (r *Remote) wait(most time.Duration) error {
	ended := time.Now()
	select {
	case <-r.ctx.Done():
	case <-r.now:
	case <-time.After(most):
	case <-r.soon:
		select {
		case <-r.ctx.Done():
		case <-r.now:
		case <-time.After(min(most, minInterval) - time.Since(ended)):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetching = r.ctx.Err() == nil
	return r.ctx.Err()
}

// end marks the end of a fetch.
func (r *Remote) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetching, r.ended = false, time.Now()
	close(r.round)
	r.round = make(chan struct{})
}

// maxWaiting limits the calls of renew that wait: an identity provider that is slow must not
// make requests with made-up keys pile up.
const maxWaiting = 256

// awaitRound returns a channel that is closed at the end of the fetch that is due. due is
// false if none is due, or too many calls wait already.
func (r *Remote) awaitRound() (round <-chan struct{}, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	due = r.fetching || time.Since(r.ended) >= minInterval
	if !r.fetching {
		signal(r.soon)
	}
	if due && r.waiting.Add(1) > maxWaiting {
		r.waiting.Add(-1)
		due = false
	}
	return r.round, due
}

// renew waits for the end of a fetch, and reports whether it came within RenewTimeout. If
// the last fetch is too recent, it makes the next one due soon and does not wait.
func (r *Remote) renew() bool {
	round, due := r.awaitRound()
	if !due {
		return false
	}
	defer r.waiting.Add(-1)
	timeout := time.NewTimer(RenewTimeout)
	defer timeout.Stop()
	select {
	case <-round:
		return true
	case <-timeout.C:
	case <-r.ctx.Done():
	}
	return false
}

// fetch gets the set.
func (r *Remote) fetch(ctx context.Context) (keys []Key, ignored []string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := r.client.Do(request)
	if err != nil {
		var withURL *url.Error // its text has the URL, whose query may be secret
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return nil, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the answer has the status %d: expected 200", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxSetBytes+1))
	switch {
	case err != nil:
		return nil, nil, err
	case len(text) > maxSetBytes:
		return nil, nil, fmt.Errorf("the JWK Set is longer than %d bytes", maxSetBytes)
	}
	return ParseJWKSet(text)
}
