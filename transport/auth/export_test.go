package auth

import "net/http"

// FollowBy is Follow with requests that t answers.
func FollowBy(t http.RoundTripper, keys *Keys, url string, report func(Report)) *Remote {
	r := newRemote(keys, url)
	r.client.Transport = t
	r.start(report)
	return r
}
