package transport_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rtdb/transport"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what the server answers")

// A transcript has what clients send to a new server and what it answers. The server's
// first version is 1. A line is
//
//	# comment
//	NAME> message     the client NAME sends; its first line connects it
//	NAME< message     it receives
//	NAME! code reason the server closes its connection
//	METHOD path body  an HTTP request
//	= status body     the response; Allow and Upgrade are in brackets
//
// With -update the lines with <, ! and = are rewritten.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(script))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(script), "\n")
			for i := range wantLines {
				if gotLines[i] != wantLines[i] {
					t.Errorf("%s:%d\n\tgot  %s\n\twant %s", file, i+1, gotLines[i], wantLines[i])
				}
			}
		})
	}
}

// left is the time to live that is left, which depends on the moment.
var left = regexp.MustCompile(`"expires_in":[0-9.]+`)

func roundUp(member string) string {
	name, seconds, _ := strings.Cut(member, ":")
	return name + ":" + fmt.Sprint(math.Ceil(must(strconv.ParseFloat(seconds, 64))))
}

// play plays a script and returns it with the server's lines.
func play(t *testing.T, script string) string {
	w := newWire(t, transport.Options{MaxValueBytes: 130})
	clients := make(map[string]*peer)
	var answer string
	var out []string
	for line := range strings.SplitSeq(script, "\n") {
		head, rest, _ := strings.Cut(line, " ")
		w.settle()
		name, sign := head, ""
		if n := len(head); n > 0 {
			name, sign = head[:n-1], head[n-1:]
		}
		switch {
		case line == "" || sign == "#":
		case sign == ">":
			if clients[name] == nil {
				clients[name] = w.dial(t)
			}
			clients[name].send(rest)
		case sign == "<":
			line = head + " " + left.ReplaceAllStringFunc(clients[name].receive(), roundUp)
		case sign == "!":
			line = head + " " + clients[name].ending()
		case sign == "=":
			line = "= " + answer
		default:
			path, body, _ := strings.Cut(rest, " ")
			r, text := w.call(t, head, path, body)
			answer = fmt.Sprint(r.StatusCode)
			for _, h := range []string{"Allow", "Upgrade"} {
				if v := r.Header.Get(h); v != "" {
					answer += fmt.Sprintf(" [%s: %s]", h, v)
				}
			}
			answer = strings.TrimSpace(answer + " " + left.ReplaceAllStringFunc(text, roundUp))
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// ending waits for the server's close frame and returns its code and reason.
func (p *peer) ending() string {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	_, message, err := p.ReadMessage()
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return fmt.Sprint(closed.Code, " ", closed.Text)
	}
	return fmt.Sprint(string(message), err)
}
