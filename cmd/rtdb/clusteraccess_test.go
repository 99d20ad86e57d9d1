package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"rtdb/keyspace/jetstream/natstest"
)

// manualBlock returns the block of a kind in the manual of nodes that has a text.
func manualBlock(t *testing.T, kind, text string) string {
	t.Helper()
	for _, b := range manualBlocks(t, nodeManual) {
		if whole := strings.Join(b.lines, "\n") + "\n"; b.kind == kind && strings.Contains(whole, text) {
			return whole
		}
	}
	t.Fatalf("%s has no block of the kind %s with %s", nodeManual, kind, text)
	return ""
}

// as returns the cluster's URL with a user.
func as(c *natstest.Cluster, user string) string {
	return strings.ReplaceAll(c.URL(), "//", "//"+user+"@")
}

// The rights that the manual lists are enough for all that nodes do.
func TestTheLeastRights(t *testing.T) {
	t.Parallel()
	accounts := strings.NewReplacer("$RTDB_PASSWORD", "secret1", "$ADMIN_PASSWORD", "secret2").Replace(manualBlock(t, "conf", "accounts {"))
	c := natstest.Start(t, natstest.Options{Config: accounts, Connect: []nats.Option{nats.UserInfo("admin", "secret2")}})
	env := []string{"NATS_URL=" + as(c, "rtdb:secret1")}
	a, b := start(t, env, "--node", "a"), start(t, env, "--node", "b")
	a.await("state loaded", 1)
	b.await("state loaded", 1)

	a.awaitPeer()
	b.awaitPeer()

	client := dialV1(t, a)
	ask := func(request, want string) {
		t.Helper()
		if err := client.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
			t.Fatal(err)
		}
		if reply := receive(t, client); !strings.Contains(reply, want) {
			t.Errorf("%s: %s", request, reply)
		}
	}
	began := time.Now()
	ask(`{"action":"hello","client":"c","id":1}`, `"ok":true`)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("hello took %v, so the other node did not answer", took)
	}
	ask(`{"action":"will","key":"will","value":1,"id":2}`, `"ok":true`)
	ask(`{"action":"publish","topic":"a/b","value":1,"id":3}`, `"ok":true`)
	ask(`{"action":"subscribe","topic":"a/b","id":4}`, `"ok":true`)
	a.write("PUT", "/data/k", `{"value":{"n":1}}`, 200)
	a.write("PATCH", "/data/k", `{"value":{"m":1}}`, 200)
	a.write("PUT", "/data/short", `{"value":1,"ttl":1}`, 200)
	a.write("DELETE", "/data/none", "", 404) // needs a barrier
	b.awaitStatus("GET", "/data/k", "", 200)
	b.write("DELETE", "/data/k", "", 204)
	b.awaitStatus("GET", "/data/short", "", 404)
	_ = client.Close()
	b.awaitStatus("GET", "/data/will", "", 200)
	a.stop()
	b.stop()
	log, err := os.ReadFile(c.Server(0).Log())
	if err != nil || strings.Contains(string(log), "Violation") {
		t.Errorf("the log of NATS, %v:\n%s", err, log)
	}
}

// dialV1 opens a WebSocket that speaks rtdb.v1.
func dialV1(t *testing.T, p *process) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"rtdb.v1"}}
	c, _, err := dialer.Dial("ws"+strings.TrimPrefix(p.url, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A node proves its identity in each way that the manual lists. It does not start if it is
// refused, says what to correct, and shows no secret.
func TestWaysToProveTheIdentityOfANode(t *testing.T) {
	const password = "aSecretOfNATS"
	seed, public := newSeed(t)
	otherSeed, _ := newSeed(t)
	seedFile := writeFile(t, "seed", seed)
	withSeed, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	operator := newNATSOperator(t)
	for name, test := range map[string]struct {
		options natstest.Options
		right   func(c *natstest.Cluster) []string // the environment of a node
		wrong   func(c *natstest.Cluster) []string // nil: a node without them waits
	}{
		"user and password": {
			natstest.Options{
				Config:  `authorization { user: rtdb, password: ` + password + ` }`,
				Connect: []nats.Option{nats.UserInfo("rtdb", password)},
			},
			func(c *natstest.Cluster) []string { return []string{"NATS_URL=" + as(c, "rtdb:"+password)} },
			func(c *natstest.Cluster) []string { return []string{"NATS_URL=" + as(c, "rtdb:not"+password)} },
		},
		"token": {
			natstest.Options{
				Config:  `authorization { token: ` + password + ` }`,
				Connect: []nats.Option{nats.Token(password)},
			},
			func(c *natstest.Cluster) []string { return []string{"NATS_URL=" + as(c, password)} },
			func(c *natstest.Cluster) []string { return []string{"NATS_URL=" + as(c, "not"+password)} },
		},
		"NKey": {
			natstest.Options{
				Config:  `authorization { users: [ { nkey: ` + public + ` } ] }`,
				Connect: []nats.Option{withSeed},
			},
			func(c *natstest.Cluster) []string { return []string{"NATS_URL=" + c.URL(), "NATS_SEED=" + seedFile} },
			func(c *natstest.Cluster) []string {
				return []string{"NATS_URL=" + c.URL(), "NATS_SEED=" + writeFile(t, "other", otherSeed)}
			},
		},
		"credentials": {
			natstest.Options{Config: operator.config, Connect: []nats.Option{nats.UserCredentials(operator.creds)}},
			func(c *natstest.Cluster) []string {
				return []string{"NATS_URL=" + c.URL(), "NATS_CREDS=" + operator.creds}
			},
			func(c *natstest.Cluster) []string { return []string{"NATS_URL=" + c.URL()} },
		},
		"certificate": {
			natstest.Options{Verify: true},
			func(c *natstest.Cluster) []string {
				return []string{"NATS_URL=" + c.URL(), "NATS_TLS_CA=" + c.Certificate().CA, "NATS_TLS_CERT=" + c.Certificate().Cert, "NATS_TLS_KEY=" + c.Certificate().Key}
			}, nil,
		},
		"TLS": {
			natstest.Options{TLS: true},
			func(c *natstest.Cluster) []string {
				return []string{"NATS_URL=" + c.URL(), "NATS_TLS_CA=" + c.Certificate().CA}
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.Start(t, test.options)
			p := start(t, test.right(c))
			p.await("state loaded", 1)
			p.write("PUT", "/data/k", `{"value":1}`, 200)
			p.stop()
			logs := strings.Join(p.lines, "\n")
			if test.wrong != nil {
				errs := refusedStart(t, test.wrong(c)...)
				if !strings.Contains(errs, "Authorization Violation: correct the user, password or token in --nats-url ($NATS_URL), or the file of --nats-creds or --nats-seed") {
					t.Errorf("the log of a node that is refused:\n%s", errs)
				}
				logs += errs
			} else {
				p := start(t, []string{"NATS_URL=" + c.URL()}) // without the authority
				reason := fmt.Sprint(p.await("waiting for the cluster", 1)[0]["reason"])
				if !strings.Contains(reason, "certificate") {
					t.Errorf("a node without a certificate waits because %s", reason)
				}
				p.stop()
			}
			if strings.Contains(logs, password) || strings.Contains(logs, seed) {
				t.Errorf("a secret in the log:\n%s", logs)
			}
		})
	}
}

// A natsOperator is the configuration of NATS servers that check JWTs, and the credentials of
// a user.
type natsOperator struct{ config, creds string }

func newNATSOperator(t *testing.T) natsOperator {
	t.Helper()
	key := func(create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string) {
		pair, err := create()
		if err != nil {
			t.Fatal(err)
		}
		if public, err = pair.PublicKey(); err != nil {
			t.Fatal(err)
		}
		return pair, public
	}
	sign := func(claims jwt.Claims, by nkeys.KeyPair) string {
		text, err := claims.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operatorKey, operator := key(nkeys.CreateOperator)
	accountKey, account := key(nkeys.CreateAccount)
	_, system := key(nkeys.CreateAccount)
	userKey, user := key(nkeys.CreateUser)
	operatorClaims := jwt.NewOperatorClaims(operator)
	operatorClaims.SystemAccount = system
	accountClaims := jwt.NewAccountClaims(account)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	seed, err := userKey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(sign(jwt.NewUserClaims(user), accountKey), seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rtdb.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload { %s: %s, %s: %s }\n", sign(operatorClaims, operatorKey),
		account, sign(accountClaims, operatorKey), system, sign(jwt.NewAccountClaims(system), operatorKey))
	return natsOperator{config, file}
}
