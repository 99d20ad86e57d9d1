package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestLocalhostIsBothLoopbackAddresses(t *testing.T) {
	p := start(t, nil)
	port := p.url[strings.LastIndexByte(p.url, ':')+1:]
	var want []any
	for _, host := range []string{"127.0.0.1", "::1"} {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			_ = l.Close()
			want = append(want, net.JoinHostPort(host, port))
		}
	}
	if got := p.started["listeners"].([]any); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
	for _, addr := range want {
		answer, err := http.Get(fmt.Sprintf("http://%v/healthz", addr))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = answer.Body.Close()
	}
	p.stop()
}
