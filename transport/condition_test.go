package transport_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rtdb/transport"
)

func TestConditionalRequests(t *testing.T) {
	const match, none = "If-Match", "If-None-Match"
	for _, c := range []struct {
		method  string
		key     string // "k" is at version 1; "none" does not exist
		headers []string
		status  int
	}{
		{"GET", "k", []string{none, `"1"`}, 304},
		{"HEAD", "k", []string{none, `"1"`}, 304},
		{"GET", "k", []string{none, `W/"1"`}, 304},
		{"GET", "k", []string{none, `"0", "1"`}, 304},
		{"GET", "k", []string{none, `"0"`, none, `"1"`}, 304},
		{"GET", "k", []string{none, `,"1",,`}, 304},
		{"GET", "k", []string{none, `*`}, 304},
		{"GET", "k", []string{none, `"2"`}, 200},
		{"GET", "k", []string{none, `"01"`}, 200},
		{"GET", "k", []string{none, `"a b"`}, 400},
		{"GET", "k", []string{none, `1`}, 400},
		{"GET", "k", []string{none, ``}, 400},
		{"GET", "k", []string{none, `"1`}, 400},
		{"GET", "k", []string{none, `"1" "2"`}, 400},
		{"GET", "k", []string{none, `*, "1"`}, 400},
		{"GET", "k", []string{match, `"1"`}, 200},
		{"GET", "k", []string{match, `"2"`}, 412},
		{"GET", "none", []string{none, `"1"`}, 404},

		{"POST", "k", []string{match, `"1"`}, 200},
		{"PUT", "k", []string{match, `"1"`}, 200},
		{"PATCH", "k", []string{match, `"1"`}, 200},
		{"DELETE", "k", []string{match, `"1"`}, 204},
		{"POST", "k", []string{match, `"2"`}, 412},
		{"PUT", "k", []string{match, `"2"`}, 412},
		{"PATCH", "k", []string{match, `"2"`}, 412},
		{"DELETE", "k", []string{match, `"2"`}, 412},
		{"POST", "k", []string{match, `"7", "1"`}, 200},
		{"POST", "k", []string{match, `W/"1"`}, 200}, // nginx compressed the answer
		{"PUT", "k", []string{match, `"7", W/"1"`}, 200},
		{"DELETE", "k", []string{match, `W/"1"`}, 204},
		{"PUT", "k", []string{match, `W/"2"`}, 412},
		{"PUT", "k", []string{match, `"1-gzip"`}, 200}, // Apache did
		{"PATCH", "k", []string{match, `W/"1-gzip"`}, 200},
		{"POST", "k", []string{match, `"1--gzip"`}, 200}, // Jetty
		{"PUT", "k", []string{match, `"1-br"`}, 200},
		{"PUT", "k", []string{match, `"1-zstd"`}, 200},
		{"PUT", "k", []string{match, `"2-gzip"`}, 412},
		{"PUT", "k", []string{match, `"1-"`}, 412},
		{"PUT", "k", []string{match, `"1-2"`}, 412},
		{"PUT", "k", []string{match, `"1-gzip-gzip"`}, 412},
		{"PUT", "k", []string{match, `"-gzip"`}, 412},
		{"PUT", "k", []string{match, `w/"1"`}, 400},
		{"GET", "k", []string{match, `W/"1"`}, 200},
		{"GET", "k", []string{none, `"1-gzip"`}, 304},
		{"PUT", "k", []string{none, `W/"1"`}, 412},
		{"POST", "k", []string{match, `*`}, 200},
		{"POST", "none", []string{match, `*`}, 412},
		{"DELETE", "none", []string{match, `"1"`}, 412},
		{"POST", "k", []string{none, `*`}, 412},
		{"PUT", "k", []string{none, `*`}, 412},
		{"PATCH", "k", []string{none, `*`}, 412},
		{"DELETE", "k", []string{none, `*`}, 412},
		{"POST", "none", []string{none, `*`}, 200},
		{"PUT", "none", []string{none, `*`}, 200},
		{"PATCH", "none", []string{none, `*`}, 200},
		{"DELETE", "none", []string{none, `*`}, 404},
		{"POST", "k", []string{none, `"1"`}, 412},
		{"POST", "k", []string{none, `"2"`}, 200},
		{"POST", "k", []string{match, `1`}, 400},
		{"DELETE", "k", []string{match, `"1`}, 400},
		{"PATCH", "k", []string{none, `x`}, 400},
	} {
		t.Run(fmt.Sprint(c.method, " ", c.key, c.headers), func(t *testing.T) {
			w := newWire(t, transport.Options{})
			w.want(t, "POST", "/data/k", `{"value":{"a":1}}`, 200, "")
			body := map[string]string{"POST": `{"value":2}`, "PUT": `{"value":2}`, "PATCH": `{"b":1}`}[c.method]
			answer := w.with(t, c.method, "/data/"+c.key, body, c.headers...)
			if answer.StatusCode != c.status {
				t.Fatalf("%d, want %d", answer.StatusCode, c.status)
			}
			tag := map[int]string{200: `"2"`, 204: `"2"`, 304: `"1"`}[c.status]
			if c.method == "GET" && c.status == 200 {
				tag = `"1"`
			}
			if got := answer.Header.Get("ETag"); got != tag {
				t.Errorf("ETag %s, want %s", got, tag)
			}
			if cache := answer.Header.Get("Cache-Control"); cache != "no-store, no-transform" {
				t.Errorf("Cache-Control %q", cache)
			}
			written := c.status < 300 && c.method != "GET" && c.method != "HEAD"
			if e, err := w.keyspace.Get("k"); c.key == "k" && c.method != "DELETE" && (err != nil || (e.Version == 2) != written) {
				t.Errorf("the key is at %d, %v", e.Version, err)
			}
		})
	}
}

// If many writers name the same version, exactly one write is made. They use PUT,
// WebSocket and batches.
func TestOneOfManyRacingWritersWins(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/n", `{"value":0}`, 200, "")
	const writers, each = 6, 30
	var wg sync.WaitGroup
	for n := range writers {
		p := w.dial(t)
		wg.Go(func() {
			for range each {
				for won := false; !won; {
					e, err := w.keyspace.Get("n")
					if err != nil {
						t.Error(err)
						return
					}
					var v int
					if err := json.Unmarshal(e.Value, &v); err != nil {
						t.Error(err)
						return
					}
					switch n % 3 {
					case 0:
						answer := w.with(t, "PUT", "/data/n", fmt.Sprintf(`{"value":%d}`, v+1), "If-Match", fmt.Sprintf(`"%d"`, e.Version))
						won = answer.StatusCode == 200
					case 1:
						p.send(fmt.Sprintf(`{"id":1,"action":"set","key":"n","value":%d,"ifVersion":%d}`, v+1, e.Version))
						won = errorCode(t, p.receive()) == ""
					case 2:
						_, text := w.call(t, "POST", "/data", fmt.Sprintf(`{"items":[{"key":"n","value":%d,"ifVersion":%d}]}`, v+1, e.Version))
						won = !strings.Contains(text, "version_mismatch")
					}
				}
			}
		})
	}
	wg.Wait()
	w.want(t, "GET", "/data/n", "", 200, fmt.Sprintf(`"value":%d`, writers*each))
}

// FuzzConditions checks that If-Match holds only for versions that the header lists.
func FuzzConditions(f *testing.F) {
	for _, s := range []string{`"1"`, `*`, `W/"1"`, `"1", "22"`, ` "1",,"2" `, `"`, `1`, ``, `"1" "2"`, `*,"1"`, `W/*`, `*,`, `,"1"`, `W/"1-gzip"`, `"1--br"`} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, header string, version uint64) {
		match, err := transport.Matches(header, version)
		if err != nil {
			if transport.Code(err) != "invalid_request" {
				t.Fatalf("%q: %v", header, err)
			}
			return
		}
		tag := `"` + strconv.FormatUint(version, 10) + `"`
		listed := strings.Contains(header, tag) || strings.Contains(header, strings.TrimSuffix(tag, `"`)+"-")
		if want := version != 0 && (strings.Trim(header, " \t") == "*" || listed); match && !want {
			t.Fatalf("If-Match %q holds at version %d", header, version)
		}
		if header == tag && version != 0 && !match {
			t.Fatalf("If-Match %q does not hold", header)
		}
	})
}

// A condition that a call cannot honour is refused, and nothing is done.
func TestConditionsThatCannotBeHonoured(t *testing.T) {
	w := newWire(t, transport.Options{})
	w.want(t, "PUT", "/data/k", `{"value":1}`, 200, "")
	for _, header := range []string{"If-Match", "If-None-Match"} {
		w.wantTry(t, "400 invalid_request", "POST", "/topics/t", `{"value":1}`, header, `"1"`)
		w.wantTry(t, "400 invalid_request", "POST", "/data", `{"items":[{"key":"k","value":2}]}`, header, "*")
		w.wantTry(t, "400 invalid_request", "DELETE", "/data?prefix=k", "", header, `"1"`)
	}
	w.want(t, "GET", "/data/k", "", 200, `"version":1`)
}
