package transport_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// A description is openapi.json, and which parts of it a test has seen.
type description struct {
	*openapi3.T
	operations map[string]*routers.Route // by operationId
	seen       map[string]bool           // "getKey 200"
	codes      map[string]bool           // of errors
}

func readDescription(t *testing.T) *description {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Fatalf("OpenAPI %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Clients must ignore members that they do not know. Here such a member is an
	// error, because the document must describe everything that is answered.
	// UnevaluatedProperties also makes the library use its validator for JSON
	// Schema 2020-12; its other validator does not accept null behind a $ref.
	err = doc.WalkSchemas(func(_ string, s *openapi3.SchemaRef) error {
		if s.Value.Type.Is("object") && len(s.Value.Properties) > 0 {
			s.Value.UnevaluatedProperties.Has = new(false)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	d := &description{doc, make(map[string]*routers.Route), make(map[string]bool), make(map[string]bool)}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			d.operations[operation.OperationID] = &routers.Route{
				Spec: doc, Path: path, PathItem: item, Method: method, Operation: operation,
			}
		}
	}
	return d
}

// try makes an exchange and expects that the document describes the request and the
// response.
func (d *description) try(t *testing.T, w *wire, x exchange) {
	t.Helper()
	route := d.operations[x.operation]
	if route == nil {
		t.Fatalf("%v: the document has no such operation", x)
	}
	method := cmp.Or(x.method, route.Method)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.addr+x.path, strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	if x.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range x.header {
		r.Header.Set(name, value)
	}
	switch err := d.checkRequest(route, r); {
	case x.refused && err == nil:
		t.Errorf("%v: the document allows it", x)
	case !x.refused && err != nil:
		t.Errorf("%v: the document does not allow it: %v", x, err)
	}

	r.Body, _ = r.GetBody()
	r.Close = x.header["Upgrade"] == "" // otherwise an event stream would keep a connection busy
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%v: %v", x, err)
	}
	defer answer.Body.Close()
	body, err := readAnswer(answer)
	if err != nil {
		t.Fatalf("%v: %v", x, err)
	}
	if answer.StatusCode != x.status {
		t.Errorf("%v: %d %s, want %d", x, answer.StatusCode, body, x.status)
		return
	}
	if err := d.checkAnswer(route, answer, body); err != nil {
		t.Errorf("%v: %d %s: %v", x, answer.StatusCode, body, err)
	}
	d.seen[fmt.Sprint(x.operation, " ", x.status)] = true
	if x.status < 400 || method == http.MethodHead {
		return
	}
	d.codes[x.code] = true
	if got := errorCode(t, body); got != x.code {
		t.Errorf("%v: %s, want %s", x, body, x.code)
	}
	if words := *route.Operation.Responses.Status(x.status).Value.Description; !strings.Contains(words, "`"+x.code+"`") {
		t.Errorf("%v: the document has no %s with %d", x, x.code, x.status)
	}
}

// readAnswer reads a body to its end, or an event stream to the end of its
// snapshot.
func readAnswer(answer *http.Response) (string, error) {
	switch {
	case answer.StatusCode == http.StatusSwitchingProtocols:
		return "", nil
	case answer.Request.Method == http.MethodHead, !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream"):
		body, err := io.ReadAll(answer.Body)
		return string(body), err
	}
	return readEvents(bufio.NewReader(answer.Body), func(e event) bool { return e.kind == "synced" })
}

// checkRequest returns an error if the document does not allow a request to the route.
func (d *description) checkRequest(route *routers.Route, r *http.Request) error {
	known := append(slices.Clone(route.PathItem.Parameters), route.Operation.Parameters...)
	for name := range r.URL.Query() {
		if known.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return fmt.Errorf("unknown query parameter %s", name)
		}
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, Route: route, PathParams: make(map[string]string),
		Options: &openapi3filter.Options{
			RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // the server checks tokens
		},
	}
	if prefix, name, ok := strings.Cut(route.Path, "{"); ok {
		value, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), prefix))
		if err != nil {
			return err
		}
		input.PathParams[strings.TrimSuffix(name, "}")] = value
	}
	return openapi3filter.ValidateRequest(r.Context(), input)
}

// checkAnswer returns an error if the document does not describe a response of the route.
func (d *description) checkAnswer(route *routers.Route, answer *http.Response, body string) error {
	described := route.Operation.Responses.Status(answer.StatusCode)
	if described == nil {
		return errors.New("the document has no such status")
	}
	head := answer.Request.Method == http.MethodHead
	if wanted := described.Value.Content != nil && !head; wanted == (body == "") {
		return fmt.Errorf("the document has a body: %v", wanted)
	}
	// The library does not check responses to HEAD or with the status 304, so each
	// response is checked as if it were the 200 of a GET.
	operation := *route.Operation
	operation.Responses = openapi3.NewResponses(openapi3.WithStatus(http.StatusOK, described))
	shown := *route
	shown.Operation = &operation
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: &http.Request{Method: http.MethodGet}, Route: &shown,
		},
		Status:  http.StatusOK,
		Header:  answer.Header,
		Options: &openapi3filter.Options{ExcludeResponseBody: head, IncludeResponseStatus: true},
	}
	return openapi3filter.ValidateResponse(context.Background(), input.SetBodyBytes([]byte(body)))
}

// An event is an event of an event stream (WHATWG HTML, section 9.2).
type event struct{ id, kind, data string }

// readEvents reads events until last reports true for one, and returns their text.
func readEvents(r *bufio.Reader, last func(event) bool) (string, error) {
	var text strings.Builder
	var e event
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("%w after %q", err, text.String())
		}
		text.WriteString(line)
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data += value
		case "":
			if line == "\n" && last(e) {
				return text.String(), nil
			}
			if line == "\n" {
				e = event{}
			}
		}
	}
}
