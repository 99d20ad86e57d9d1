package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"rtdb/transport/transporttest"
)

func TestCompletion(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"JWT_SECRET=" + testSecret})
	token := transporttest.Token(t, "", `{"read":["#"],"write":["#"]}`, time.Hour)
	for _, key := range []string{"a/1/x", "a/1/y", "a/2/x", "b", "b c", "a"} {
		if _, errs, status := runToEnd(t, nil, "set", "--url", p.url, "--token", token, key, "1"); status != 0 {
			t.Fatal(errs)
		}
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	const slow = "RTDB_COMPLETION_TIMEOUT=20s" // the machine may be busy
	env := []string{"RTDB_URL=" + p.url, "RTDB_TOKEN=" + token, slow}
	const keys = "a|a/|b|b c"
	for _, test := range []struct {
		env  []string
		line string // words separated by |
		want string // candidates, or some of them and …
	}{
		{env, "get|", keys},
		{env, "get|a/", "a/1/|a/2/"},
		{env, "get|zz", ""},
		{env, "get|--", "--host|--port|--url|--token|--timeout|--json|--help|…"},
		{env, "get|--json|", keys},
		{env, "get|--|", keys},
		{env, "get|--|--", ""},
		{env, "set|", keys},
		{env, "set|b|", ""},
		{env, "delete|b|", keys},
		{env, "list|", keys},
		{env, "watch|", "a|a/|b|b c|+/|#"},
		{env, "watch|a/", "a/1/|a/2/|a/+/|a/#"},
		{env, "watch|a/+/", "a/+/x|a/+/y|a/+/#"},
		{env, "watch|+/1/", "+/1/x|+/1/y|+/1/#"},
		{env, "watch|+/none/", ""},
		{env, "watch|--topic|", ""},
		{env, "export|--prefix|b", "b|b c"},
		{env, "export|--pattern=a/2", "--pattern=a/2/"},
		{env, "token|make|--read|a/2", "a/2/"},
		{env, "list|>|", "\tfiles"},
		{nil, "", "serve|health|token|get|set|patch|delete|list|watch|publish|completion|…"},
		{nil, "token|", "make|inspect"},
		{nil, "token|--te", ""},
		{nil, "completion|", "bash|zsh"},
		{nil, "--log-lev", "--log-level"},
		{nil, "--data-dir|", "\tfiles"},
		{nil, "import|--from|", "\tfiles"},
		{nil, "nonsense|", ""},
		{nil, "get|--nonsense|--json", "--json"},
		// The server of the arguments is asked. Servers that do not answer give no candidates.
		{[]string{slow}, "get|--url|" + p.url + "|--token|" + token + "|b", "b|b c"},
		{[]string{slow}, "get|--url=" + p.url + "|--token=" + token + "|b", "b|b c"},
		{[]string{"RTDB_URL=" + p.url}, "get|", ""},
		{[]string{"RTDB_URL=" + silent.URL}, "get|", ""},
		{[]string{"RTDB_URL=http://127.0.0.1:1"}, "get|", ""},
		{[]string{"RTDB_URL=nonsense"}, "get|", ""},
		{[]string{"RTDB_URL=" + p.url, "RTDB_TOKEN=" + token, slow}, "get|--port|1|", ""},
		{[]string{"RTDB_URL=" + p.url, "RTDB_TOKEN=" + token, slow}, "get|--port|x|", ""},
	} {
		began := time.Now()
		out, errs, status := runToEnd(t, test.env, append([]string{"complete", "zsh", "--"}, strings.Split(test.line, "|")...)...)
		var got []string
		for line := range strings.Lines(out) {
			text := strings.TrimSuffix(line, "\n")
			if text != "\tfiles" {
				text, _, _ = strings.Cut(text, "\t")
			}
			got = append(got, text)
		}
		want := strings.Split(test.want, "|")
		ok := strings.Join(got, "|") == test.want
		if want[len(want)-1] == "…" {
			ok = true
			for _, one := range want[:len(want)-1] {
				ok = ok && slices.Contains(got, one)
			}
		}
		if !ok || errs != "" || status != 0 {
			t.Errorf("%s: exit %d with %q %q, want %q", test.line, status, got, errs, test.want)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s took %v", test.line, took)
		}
	}
	if out, errs, status := runToEnd(t, nil, "complete", "bash"); out != "" || errs != "" || status != 0 {
		t.Errorf("without words: exit %d with %q %q", status, out, errs)
	}
	if out, errs, status := runToEnd(t, nil, "completion", "fish"); status != exitBadUsage || !strings.Contains(errs, `must be one of "bash","zsh" but got "fish"`) {
		t.Errorf("another shell: exit %d with %q %q", status, out, errs)
	}
}
