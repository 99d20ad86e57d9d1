package auth_test

import (
	"testing"

	"rtdb/transport/auth"
)

func TestGrants(t *testing.T) {
	g, err := auth.ParseGrants([]byte(`{"read":["devices/#","+/public"],"write":["devices/+/set"],"listen":["chat/#"],"publish":["chat/1"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want bool }{
		"read":                 {g.MayRead("devices/1"), true},
		"read the level":       {g.MayRead("devices"), true},
		"read other":           {g.MayRead("device"), false},
		"read by +":            {g.MayRead("a/public"), true},
		"a pattern":            {g.MayReadAll("devices/+/x"), true},
		"all":                  {g.MayReadAll("#"), false},
		"one level too many":   {g.MayReadAll("+/+"), false},
		"list below":           {g.MayList("devices/", ""), true},
		"list a half level":    {g.MayList("dev", ""), false},
		"list all":             {g.MayList("", ""), false},
		"list by pattern":      {g.MayList("", "devices/#"), true},
		"list by either":       {g.MayList("devices/1", "#"), true},
		"write":                {g.MayWrite("devices/1/set"), true},
		"write what is read":   {g.MayWrite("devices/1"), false},
		"listen":               {g.MayListen("chat/2"), true},
		"publish":              {g.MayPublish("chat/1"), true},
		"publish what is read": {g.MayPublish("chat/2"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
	for _, text := range []string{"", "[]", `{"read":"#"}`, `{"read":["a#"]}`, `{"x":1}`, `{} {}`, `{"read":[1]}`} {
		if _, err := auth.ParseGrants([]byte(text)); err == nil {
			t.Errorf("%q is accepted as grants", text)
		}
	}
}
