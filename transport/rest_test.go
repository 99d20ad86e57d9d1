package transport_test

import (
	"net/http"
	"strings"
	"testing"

	"rtdb/transport"
)

// A key expires after its time to live, which each kind of write can set.
func TestKeysExpireAfterTheirTimeToLive(t *testing.T) {
	w := newWire(t, transport.Options{})
	p := w.dial(t)
	p.ask(`{"action":"subscribe","pattern":"#","id":1}`, `{"id":1,"ok":true,"revision":0,"epoch":"e"}`)
	p.send(`{"action":"set","key":"a","value":1,"ttl":0.05}`)
	p.want(`{"key":"a","value":1}`, `{"key":"a","value":null,"deleted":true}`)
	p.send(`{"action":"patch","key":"b","value":1,"ttl":0.05}`)
	p.want(`{"key":"b","value":1}`, `{"key":"b","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/c", `{"value":1,"ttl":0.05}`, 200, "")
	p.want(`{"key":"c","value":1}`, `{"key":"c","value":null,"deleted":true}`)
	w.want(t, "POST", "/data", `{"items":[{"key":"d","value":1,"ttl":0.05}]}`, 200, "")
	p.want(`{"key":"d","value":1}`, `{"key":"d","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/e", `{"value":1,"ttl":0.1}`, 200, "")
	w.want(t, "PATCH", "/data/e", `2`, 200, "") // a patch keeps the time to live
	p.want(`{"key":"e","value":1}`, `{"key":"e","value":2}`, `{"key":"e","value":null,"deleted":true}`)
	w.want(t, "POST", "/data/f", `{"value":1,"ttl":0.05}`, 200, "")
	w.want(t, "POST", "/data/f", `{"value":2}`, 200, "") // a set clears it
	p.want(`{"key":"f","value":1}`, `{"key":"f","value":2}`)
	w.want(t, "POST", "/data/g", `{"value":1,"ttl":0.2}`, 200, "")
	p.want(`{"key":"g","value":1}`, `{"key":"g","value":null,"deleted":true}`)
	w.want(t, "GET", "/data/f", "", 200, `"value":2`)
	w.want(t, "GET", "/data/g", "", 404, "")
}

// A body is read as JSON whatever its Content-Type is, because curl -d sends that of a
// form.
func TestContentTypesDoNotMatter(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "nonsense"} {
		r, err := http.NewRequest("POST", "http://"+w.addr+"/data/k", strings.NewReader(`{"value":1}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != 200 {
			t.Errorf("Content-Type %q: %s", kind, answer.Status)
		}
	}
}
