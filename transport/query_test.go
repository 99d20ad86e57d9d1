package transport_test

import (
	"strings"
	"testing"

	"rtdb/transport"
)

// A plus sign is the wildcard if it is a level of a pattern, encoded or not. Elsewhere in a
// query it is a space, as browsers write it.
func TestPlusSignsInQueries(t *testing.T) {
	w := newWire(t, transport.Options{})
	for _, key := range []string{"a/1/t", "a/%20/t", "a/1%20/t", "a%20b/t", "c%20d"} {
		w.want(t, "PUT", "/data/"+key, `{"value":1}`, 200, "")
	}
	w.settle()
	for query, want := range map[string]string{
		"pattern=a/+/t":                       "a/ /t,a/1 /t,a/1/t",
		"pattern=a/%2B/t":                     "a/ /t,a/1 /t,a/1/t",
		"pattern=a/%2b/t":                     "a/ /t,a/1 /t,a/1/t",
		"pattern=a%2F+%2ft":                   "a/ /t,a/1 /t,a/1/t", // as URLSearchParams writes it
		"pattern=+/+/+":                       "a/ /t,a/1 /t,a/1/t",
		"pattern=+/t":                         "a b/t",
		"pattern=+":                           "c d",
		"pattern=+/%23":                       "a b/t,a/ /t,a/1 /t,a/1/t,c d",
		"p%61ttern=+/t":                       "a b/t",
		"limit=9&pattern=a/+/t&prefix=a/1":    "a/1 /t,a/1/t",
		"pattern=a/%20/t":                     "a/ /t",
		"pattern=a/1+/t":                      "a/1 /t",
		"pattern=a+b/+":                       "a b/t",
		"pattern=c+d":                         "c d",
		"pattern=a/++/t":                      "", // a level of two spaces
		"prefix=a+b":                          "a b/t",
		"prefix=a/+/":                         "a/ /t",
		"prefix=c%20d":                        "c d",
		"after=a/1/t&prefix=":                 "c d",
		"after=a/1+/t":                        "a/1/t,c d",
		"pattern=a/%252F/t":                   "", // a level "%2F"
		"pattern=%2B&prefix=&after=&limit=10": "c d",
	} {
		_, text := w.call(t, "GET", "/data?"+query, "")
		if got := strings.Join(namesIn(text), ","); got != want {
			t.Errorf("/data?%s: %s, want the keys %q", query, text, want)
		}
	}
	for query, want := range map[string][]string{
		"pattern=a/+/t":         {"a/ /t", "a/1 /t", "a/1/t"},
		"pattern=%2B":           {"c d"},
		"key=a/+/t":             {"a/ /t"},
		"key=c+d&pattern=+/t":   {"a b/t", "c d"},
		"pattern=a/%20/t&key=x": {"a/ /t"},
	} {
		feed := w.feed(t, "snapshot=true&"+query)
		for _, key := range want {
			feed.want(`id: e.0|data: {"key":"` + key + `","value":1}`)
		}
		feed.want(`id: e.5|event: synced|data: {"synced":true,"revision":5,"epoch":"e"}`)
	}
}

// namesIn returns the keys of a listing.
func namesIn(listing string) (names []string) {
	for _, part := range strings.Split(listing, `{"key":"`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		names = append(names, name)
	}
	return names
}

// What is not clear in a query is refused with words that say how to write it.
func TestQueriesThatAreNotClear(t *testing.T) {
	w := newWire(t, transport.Options{})
	for query, want := range map[string]string{
		"prefix=a;b":             `write it as %3B`,
		"limit=1;prefix=a":       `write it as %3B`,
		"pattern=100%":           `the query has \"%\", which is not an encoded character: write % as %25`,
		"%zz=1":                  `the query has \"%zz\"`,
		"pattern=%zz/+":          `the query has \"%zz\"`,
		"prefix=%2B":             `a prefix is taken as it is`,
		"pattern=a%2Bb":          `'+' and '#' must be levels of their own`,
		"pattern=+&pattern=a":    `pattern is given more than once`,
		"pat+tern=a":             `unknown query parameter \"pat tern\"`,
		strings.Repeat("&", 1e4): `too many parameters`,
	} {
		w.want(t, "GET", "/data?"+query, "", 400, want)
	}
}
