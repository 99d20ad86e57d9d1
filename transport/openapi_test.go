package transport_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"rtdb/keyspace"
	"rtdb/transport"
)

// An exchange is a request and the response that is expected.
type exchange struct {
	operation string // its operationId
	path      string // and the query
	header    map[string]string
	body      string
	status    int
	code      string // of the error
	refused   bool   // the document does not allow the request, either
	method    string // "" for the operation's own
}

func (x exchange) String() string {
	return fmt.Sprintf("%s %s %s %v %.80s", x.operation, x.method, x.path, x.header, x.body)
}

var upgrade = map[string]string{
	"Connection": "Upgrade", "Upgrade": "websocket",
	"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

// exchanges returns exchanges with a server whose values may be 1000 bytes long. It has
// the keys here/1, whose version has the given ETag, here/2, here/3 and here/4. The first
// exchange of each operation succeeds.
func exchanges(etag string) []exchange {
	type header = map[string]string
	const other = `"1"` // not the ETag of one of these keys
	long := `{"value":"` + strings.Repeat("x", 999) + `"}`
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	items := func(n int) string {
		return `{"items":[` + strings.Repeat(`{"key":"many","value":1},`, n-1) + `{"key":"many","value":1}]}`
	}
	list := []exchange{
		{operation: "listKeys", path: "/data", status: 200},
		{operation: "listKeys", path: "/data?prefix=here&pattern=here/%2B&limit=1&after=here/1", status: 200}, // there are more keys
		{operation: "listKeys", path: "/data?limit=1000", status: 200},
		{operation: "listKeys", path: "/data?prefix=nowhere", status: 200},
		{operation: "listKeys", path: "/data?limit=0", status: 400, code: "invalid_request", refused: true},
		{operation: "listKeys", path: "/data?limit=1001", status: 400, code: "invalid_request", refused: true},
		{operation: "listKeys", path: "/data?limit=x", status: 400, code: "invalid_request", refused: true},
		{operation: "listKeys", path: "/data?pattern=a/%23/b", status: 400, code: "invalid_name"},
		{operation: "listKeys", path: "/data?offset=1", status: 400, code: "invalid_request", refused: true},

		{operation: "writeKeys", path: "/data", body: `{"items":[{"key":"b/1","value":null},{"key":"b/2","value":1,"ttl":600,"ifVersion":0}]}`, status: 200},
		{operation: "writeKeys", path: "/data", body: `{"items":[{"key":"here/1","value":1,"ifVersion":0},{"key":"b/3","value":1,"ifVersion":7}]}`, status: 200},
		{operation: "writeKeys", path: "/data", body: `{"items":[{"key":"a//b","value":1},{"key":"b/4","value":1}]}`, status: 200, refused: true},
		{operation: "writeKeys", path: "/data", body: `{"items":[7,{"key":null,"value":1}]}`, status: 200, refused: true},
		{operation: "writeKeys", path: "/data", body: items(1000), status: 200},
		{operation: "writeKeys", path: "/data", body: items(1001), status: 413, code: "too_large", refused: true},
		{operation: "writeKeys", path: "/data", header: header{"Content-Encoding": "gzip"}, body: items(1), status: 415, code: "unsupported_media_type"},
		{operation: "writeKeys", path: "/data", body: `{}`, status: 400, code: "invalid_request", refused: true},
		{operation: "writeKeys", path: "/data", body: `{"items":[],"more":1}`, status: 400, code: "invalid_request", refused: true},

		{operation: "writeKeys", path: "/data", body: `{"items":[{"key":"b/1","patch":{"a":1}},{"key":"b/1","touch":true,"ttl":60},{"key":"b/1","delete":true}]}`, status: 200},
		{operation: "writeKeys", path: "/data", body: `{"items":[{"key":"b/1"},{"key":"b/1","touch":true}]}`, status: 200, refused: true},
		{operation: "listKeys", path: "/data?delimiter=/&reverse=true&limit=1", status: 200},
		{operation: "listKeys", path: "/data?delimiter=/&after=here/", status: 200},
		{operation: "listKeys", path: "/data?delimiter=.", status: 400, code: "invalid_request", refused: true},
		{operation: "listKeys", path: "/data?reverse=yes", status: 400, code: "invalid_request", refused: true},
		{operation: "deleteKeys", path: "/data?prefix=b/", status: 200},
		{operation: "deleteKeys", path: "/data?pattern=many&limit=1&after=b", status: 200},
		{operation: "deleteKeys", path: "/data?pattern=a/%23/b", status: 400, code: "invalid_name"},
		{operation: "deleteKeys", path: "/data", status: 400, code: "invalid_request"},
		{operation: "deleteKeys", path: "/data?reverse=true", status: 400, code: "invalid_request", refused: true},

		{operation: "getKey", path: "/data/here/1", status: 200},
		{operation: "getKey", path: "/data/here%2F1", header: header{"If-None-Match": other}, status: 200},
		{operation: "getKey", path: "/data/here/1", header: header{"If-None-Match": etag}, status: 304},
		{operation: "getKey", path: "/data/here/1", header: header{"If-Match": other}, status: 412, code: "version_mismatch"},
		{operation: "getKey", path: "/data/nowhere", status: 404, code: "not_found"},
		{operation: "getKey", path: "/data/a//b", status: 400, code: "invalid_name", refused: true},
		{operation: "getKey", path: "/data/a%2B", status: 400, code: "invalid_name", refused: true},
		{operation: "getKey", path: "/data/a%00", status: 400, code: "invalid_name", refused: true},
		{operation: "getKey", path: "/data/" + strings.Repeat("x", 513), status: 400, code: "invalid_name", refused: true},
		{operation: "getKey", path: "/data/here/1?x=1", status: 400, code: "invalid_request", refused: true},

		{operation: "headKey", path: "/data/here/1", status: 200},
		{operation: "headKey", path: "/data/here/1", header: header{"If-None-Match": etag}, status: 304},
		{operation: "headKey", path: "/data/here/1", header: header{"If-Match": other}, status: 412},
		{operation: "headKey", path: "/data/nowhere", status: 404},
		{operation: "headKey", path: "/data/a//b", status: 400, refused: true},

		{operation: "patchKey", path: "/data/p", body: `{"a":1}`, status: 200},
		{operation: "patchKey", path: "/data/p", header: header{"Content-Type": "application/merge-patch+json"}, body: `{"a":null,"b":{"c":2}}`, status: 200},
		{operation: "patchKey", path: "/data/p", header: header{"If-None-Match": "*"}, body: `{}`, status: 412, code: "version_mismatch"},
		{operation: "patchKey", path: "/data/here/1", header: header{"If-Match": other}, body: `{}`, status: 412, code: "version_mismatch"},
		{operation: "patchKey", path: "/data/p", body: `{"a":`, status: 400, code: "invalid_value", refused: true},
		{operation: "patchKey", path: "/data/p", body: `{"a":"` + strings.Repeat("x", 1000) + `"}`, status: 413, code: "too_large"},
		{operation: "patchKey", path: "/data/p", header: header{"Content-Type": "application/json-patch+json"}, body: `[]`, status: 415, code: "unsupported_media_type", refused: true},

		{operation: "deleteKey", path: "/data/here/2", status: 204},
		{operation: "deleteKey", path: "/data/here/1", header: header{"If-Match": other}, status: 412, code: "version_mismatch"},
		{operation: "deleteKey", path: "/data/nowhere", status: 404, code: "not_found"},
		{operation: "deleteKey", path: "/data/here/1", header: header{"If-Match": "x"}, status: 400, code: "invalid_request", refused: true},

		{operation: "publish", path: "/topics/t/1", body: `{"value":{"any":[1,null]}}`, status: 202},
		{operation: "publish", path: "/topics/t", body: `{"value":1,"ttl":1}`, status: 400, code: "invalid_request", refused: true},
		{operation: "publish", path: "/topics/t%23", body: `{"value":1}`, status: 400, code: "invalid_name", refused: true},
		{operation: "publish", path: "/topics/t", body: `{"value":` + deep + `}`, status: 400, code: "invalid_value"},
		{operation: "publish", path: "/topics/t", body: long, status: 413, code: "too_large"},
		{operation: "publish", path: "/topics/t", header: header{"Content-Type": "application/xml"}, body: `<a/>`, status: 415, code: "unsupported_media_type", refused: true},

		{operation: "streamEvents", path: "/events?key=here/1&key=nowhere&pattern=here/%2B&topic=t&snapshot=true", status: 200},
		{operation: "streamEvents", path: "/events?key=here/1&since=0", status: 200},
		{operation: "streamEvents", path: "/events?key=here/1", header: header{"Last-Event-ID": "1"}, status: 200},
		{operation: "streamEvents", path: "/events?key=here/1&lastEventId=1", status: 200},
		{operation: "streamEvents", path: "/events?key=here/1&snapshot=true&lastEventId=", status: 200},
		{operation: "streamEvents", path: "/events?key=a&lastEventId=x", status: 200},
		{operation: "streamEvents", path: "/events?key=a//b&snapshot=true", status: 400, code: "invalid_name", refused: true},
		{operation: "streamEvents", path: "/events?key=a&snapshot=perhaps", status: 400, code: "invalid_request", refused: true},
		{operation: "streamEvents", path: "/events?key=a&since=x", status: 400, code: "invalid_request", refused: true},
		{operation: "streamEvents", path: "/events?keys=a", status: 400, code: "invalid_request", refused: true},

		{operation: "openWebSocket", path: "/ws", header: upgrade, status: 101},
		{operation: "openWebSocket", path: "/ws", status: 426, code: "invalid_request"},
		{operation: "openWebSocket", path: "/ws?token=x", header: upgrade, status: 400, code: "invalid_request", refused: true},

		{operation: "checkHealth", path: "/healthz", status: 200},
		{operation: "checkHealth", path: "/healthz?x", status: 400, code: "invalid_request", refused: true},
		{operation: "checkReadiness", path: "/readyz", status: 200},
		{operation: "checkReadiness", path: "/readyz?x", status: 400, code: "invalid_request", refused: true},
		{operation: "getOpenAPI", path: "/openapi.json", status: 200},
		{operation: "getOpenAPI", path: "/openapi.json?x", status: 400, code: "invalid_request", refused: true},
	}
	for _, operation := range []string{"setKey", "putKey"} {
		list = append(list, []exchange{
			{operation: operation, path: "/data/k/1", body: `{"value":null}`, status: 200},
			{operation: operation, path: "/data/k%2F1", body: `{"value":[1e400,12345678901234567890,"\u00e9"],"ttl":600.5}`, status: 200},
			{operation: operation, path: "/data/here/3", header: header{"If-Match": other}, body: `{"value":1}`, status: 412, code: "version_mismatch"},
			{operation: operation, path: "/data/here/3", header: header{"If-None-Match": "*"}, body: `{"value":1}`, status: 412, code: "version_mismatch"},
			{operation: operation, path: "/data/nowhere", header: header{"If-Match": other}, body: `{"value":1}`, status: 412, code: "version_mismatch"},
			{operation: operation, path: "/data/k", header: header{"If-Match": "1"}, body: `{"value":1}`, status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/k", body: `{"value":1,"ttl":0}`, status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/k", body: `{"value":1,"ttl":"1"}`, status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/k", body: `{"value":1,"expires":1}`, status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/k", body: `{}`, status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/k", body: `1`, status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/k", status: 400, code: "invalid_request", refused: true},
			{operation: operation, path: "/data/..", body: `{"value":1}`, status: 400, code: "invalid_name"},
			{operation: operation, path: "/data/k", body: `{"value":` + deep + `}`, status: 400, code: "invalid_value"},
			{operation: operation, path: "/data/k", body: long, status: 413, code: "too_large"},
			{operation: operation, path: "/data/k", header: header{"Content-Type": "application/json-patch+json"}, body: `[]`, status: 415, code: "unsupported_media_type", refused: true},
		}...)
	}
	return list
}

// unseen are responses in the document that a test cannot get, and why.
var unseen = map[string]string{
	"listKeys 500":     "a test cannot make a read fail",
	"getKey 500":       "as above",
	"headKey 500":      "as above",
	"streamEvents 500": "as above",
	"publish 500":      "as above: messages of topics are not stored",
	"deleteKeys 500":   "the usual request finds nothing to delete",
	"writeKeys 500":    "a write that fails is one of the results, with 200",
}

func TestAnswersAreAsDescribed(t *testing.T) {
	d := readDescription(t)
	w := newWire(t, transport.Options{MaxValueBytes: 1000})
	w.want(t, "POST", "/data/first", `{"value":1}`, 200, "") // so that no other key has version 1
	for _, key := range []string{"here/1", "here/2", "here/3", "here/4"} {
		w.want(t, "POST", "/data/"+key, `{"value":{"a":[null]}}`, 200, "")
	}
	_, text := w.call(t, "GET", "/data/here/1", "")
	var entry struct{ Version uint64 }
	if err := json.Unmarshal([]byte(text), &entry); err != nil {
		t.Fatal(err)
	}

	usual := make(map[string]exchange)
	for _, x := range exchanges(fmt.Sprintf("%q", fmt.Sprint(entry.Version))) {
		if _, ok := usual[x.operation]; !ok {
			usual[x.operation] = x
		}
		d.try(t, w, x)
	}
	for id, route := range d.operations {
		x, ok := usual[id]
		if !ok {
			t.Fatalf("%s is never asked for", id)
		}
		if route.Method == http.MethodGet { // if GET works, HEAD works, too
			head := x
			head.method = http.MethodHead
			if head.status == http.StatusSwitchingProtocols {
				head.status = http.StatusUpgradeRequired
			}
			d.try(t, w, head)
		}
		if route.Method != http.MethodHead {
			x.method, x.status, x.code = "PROPFIND", http.StatusMethodNotAllowed, "method_not_allowed"
			d.try(t, w, x)
		}
	}

	tryRefusals(t, d, usual)

	w.store.hold(func(keyspace.Record) { panic("the store is broken") })
	for _, id := range []string{"setKey", "putKey", "patchKey", "deleteKey"} {
		x := usual[id]
		x.path, x.status, x.code = "/data/here/4", http.StatusInternalServerError, "internal"
		d.try(t, w, x)
	}

	// A WebSocket with a write under way holds up the shutdown.
	gate, arrived := make(chan struct{}), make(chan struct{})
	w.store.hold(func(keyspace.Record) { close(arrived); <-gate })
	w.dial(t).send(`{"action":"set","key":"k","value":1}`)
	<-arrived
	ended := w.startShutdown(t, patience)
	for id, route := range d.operations {
		x := usual[id]
		if route.Operation.Responses.Status(http.StatusServiceUnavailable) != nil {
			x.status, x.code = http.StatusServiceUnavailable, "unavailable"
		}
		d.try(t, w, x)
	}
	close(gate)
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}

	for id, route := range d.operations {
		for status := range route.Operation.Responses.Map() {
			answer := id + " " + status
			if _, ok := unseen[answer]; ok == d.seen[answer] {
				t.Errorf("%s: seen is %v, and unseen has it: %v", answer, d.seen[answer], ok)
			}
		}
	}
	for _, code := range d.Components.Schemas["Error"].Value.Properties["code"].Value.Enum {
		if !d.codes[code.(string)] {
			t.Errorf("no error had the code %s", code)
		}
	}
}

// tryRefusals tries the refusals that do not depend on the request itself.
func tryRefusals(t *testing.T, d *description, usual map[string]exchange) {
	t.Helper()
	secured := newWire(t, transport.Options{Keys: testKeys(t)})
	limited := newWireOn(t, keyspace.Options{MaxKeys: 1}, transport.Options{MaxRequestRate: 1e-3})
	limited.want(t, "PUT", "/data/one", `{"value":1}`, 200, "") // the rate allows no more for a while
	with := func(x exchange, name, value string) exchange {
		x.header = maps.Clone(x.header)
		if x.header == nil {
			x.header = make(map[string]string)
		}
		x.header[name] = value
		return x
	}
	for id, route := range d.operations {
		if route.Operation.Responses.Status(http.StatusUnauthorized) == nil {
			continue // a health check
		}
		x := usual[id]
		x.status, x.code = http.StatusUnauthorized, "unauthorized"
		d.try(t, secured, with(x, "Authorization", "Bearer x"))
		x.status, x.code = http.StatusForbidden, "forbidden"
		d.try(t, secured, with(x, "Origin", "https://elsewhere.example"))
		x.status, x.code = http.StatusTooManyRequests, "rate_limited"
		d.try(t, limited, x)
	}
	full := newWireOn(t, keyspace.Options{MaxKeys: 1}, transport.Options{})
	full.want(t, "PUT", "/data/one", `{"value":1}`, 200, "")
	x := usual["setKey"]
	x.path, x.status, x.code = "/data/two", http.StatusTooManyRequests, "limit_reached"
	d.try(t, full, x)

	loading, _ := newLoadingWire(t, transport.Options{})
	for id, route := range d.operations {
		if route.Operation.Responses.Status(http.StatusServiceUnavailable) != nil {
			x := usual[id]
			x.status, x.code = http.StatusServiceUnavailable, "unavailable"
			d.try(t, loading, x)
		}
	}
	noRoom := newWireOn(t, keyspace.Options{Refuse: func() error { return keyspace.ErrInsufficientStorage }}, transport.Options{})
	for _, id := range []string{"setKey", "putKey", "patchKey", "checkReadiness"} {
		x := usual[id]
		x.status, x.code = http.StatusServiceUnavailable, "unavailable"
		d.try(t, noRoom, x)
	}
	x = usual["writeKeys"] // the items are refused
	d.try(t, noRoom, x)
}

// OpenAPI 3.1 cannot describe the events of a stream, but the document has a schema for
// them.
func TestEventsAreAsDescribed(t *testing.T) {
	d := readDescription(t)
	w := newWire(t, transport.Options{})
	w.want(t, "POST", "/data/k", `{"value":null}`, 200, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.addr+"/events?key=k&pattern=p/%23&topic=t&snapshot=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	stream := bufio.NewReader(answer.Body)
	eventID := regexp.MustCompile(`^e\.[0-9]+$`)
	next := func(want string) {
		t.Helper()
		_, err := readEvents(stream, func(e event) bool {
			var data any
			if e == (event{}) || e.kind == "synced" { // a comment, or the end of the snapshot
				return false
			}
			if err := json.Unmarshal([]byte(e.data), &data); err != nil {
				t.Errorf("%+v: %v", e, err)
			} else if err := d.Components.Schemas["Update"].Value.VisitJSON(data, openapi3.EnableJSONSchema2020()); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
			if e.data != want || e.kind != "" || !eventID.MatchString(e.id) {
				t.Errorf("event %+v, want %s, with a revision", e, want)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	next(`{"key":"k","value":null}`)
	w.want(t, "POST", "/data/k", `{"value":{"a":1}}`, 200, "")
	next(`{"key":"k","value":{"a":1}}`)
	w.want(t, "POST", "/data/p/1/2", `{"value":2}`, 200, "")
	next(`{"key":"p/1/2","value":2}`)
	w.want(t, "DELETE", "/data/k", "", 204, "")
	next(`{"key":"k","value":null,"deleted":true}`)
	w.want(t, "POST", "/topics/t", `{"value":[]}`, 202, "")
	next(`{"topic":"t","value":[]}`)
	id := w.log.await(t, "session opened", 1)[0]["session"].(string)
	w.want(t, "DELETE", "/sessions/"+id, "", 204, "")
	_, err = readEvents(stream, func(e event) bool {
		if e.kind != "end" {
			return false
		}
		var data any
		if err := json.Unmarshal([]byte(e.data), &data); err != nil {
			t.Errorf("%+v: %v", e, err)
		} else if err := d.Components.Schemas["End"].Value.VisitJSON(data, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
		return true
	})
	if err != nil {
		t.Errorf("the stream ends without saying why: %v", err)
	}
}

// The methods in the response to OPTIONS are those in the document.
func TestMethodsAreAsDescribed(t *testing.T) {
	d := readDescription(t)
	w := newWire(t, transport.Options{})
	parameter := regexp.MustCompile(`{\w+}`)
	for path, item := range d.Paths.Map() {
		methods := map[string]bool{http.MethodOptions: true}
		for method := range item.Operations() {
			methods[method] = true
			if method == http.MethodGet {
				methods[http.MethodHead] = true
			}
		}
		want := slices.Sorted(maps.Keys(methods))
		answer, _ := w.call(t, "OPTIONS", parameter.ReplaceAllString(path, "x"), "")
		got := slices.Sorted(strings.SplitSeq(answer.Header.Get("Allow"), ", "))
		if answer.StatusCode != http.StatusNoContent || !slices.Equal(got, want) {
			t.Errorf("OPTIONS %s: %d, Allow %q, the document has %q", path, answer.StatusCode, got, want)
		}
	}
}

func TestRoutesAreDescribed(t *testing.T) {
	d := readDescription(t)
	w := newWire(t, transport.Options{})
	for _, route := range w.Routes() {
		if d.Paths.Value(route) == nil {
			t.Errorf("the document does not have %s", route)
		}
	}
}

// The server serves the document byte for byte.
func TestTheDescriptionIsServed(t *testing.T) {
	w := newWire(t, transport.Options{})
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if answer, got := w.call(t, "GET", "/openapi.json", ""); answer.StatusCode != 200 || got != string(want) {
		t.Errorf("GET /openapi.json: %d and %d bytes, want the %d of the file", answer.StatusCode, len(got), len(want))
	}
}
