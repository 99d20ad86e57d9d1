package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nkeys"

	"rtdb/keyspace/jetstream"
)

// clusterFlags name the NATS servers of a node's state, and how to reach them.
type clusterFlags struct {
	NATSURL      string `name:"nats-url" env:"NATS_URL" placeholder:"URL,..." help:"NATS servers that keep the state, such as nats://a:4222,nats://b:4222. Excludes --data-dir."`
	NATSCreds    string `name:"nats-creds" env:"NATS_CREDS" placeholder:"FILE" help:"Credentials of a NATS user: a JWT and an NKey seed, as nsc makes them."`
	NATSSeed     string `name:"nats-seed" env:"NATS_SEED" placeholder:"FILE" help:"NKey seed of a NATS user."`
	NATSTLSCA    string `name:"nats-tls-ca" env:"NATS_TLS_CA" placeholder:"FILE" help:"Authorities that check the NATS servers' certificates, in PEM."`
	NATSTLSCert  string `name:"nats-tls-cert" env:"NATS_TLS_CERT" placeholder:"FILE" help:"Certificate that this node shows to NATS, in PEM."`
	NATSTLSKey   string `name:"nats-tls-key" env:"NATS_TLS_KEY" placeholder:"FILE" help:"Private key of that certificate, in PEM."`
	NATSStream   string `name:"nats-stream" default:"rtdb" env:"NATS_STREAM" help:"JetStream stream that all nodes share. It is made if it does not exist."`
	NATSReplicas int    `name:"nats-replicas" default:"0" env:"NATS_REPLICAS" help:"NATS servers that keep a copy of a new stream: 1, 3 or 5. 0 is 3, or 1 if NATS is a single server."`
	Node         string `env:"NODE_NAME" placeholder:"NAME" help:"Name of this node in logs and metrics. Without one it is the host's name."`

	servers    []string // of NATSURL, without users, passwords and tokens
	natsUnused []string // settings that count only with NATSURL, and were given without it
}

// clusterSettings are the flags that count only with --nats-url.
var clusterSettings = []string{
	"nats-creds", "nats-seed", "nats-tls-ca", "nats-tls-cert", "nats-tls-key", "nats-stream", "nats-replicas", "node",
}

// check checks the flags, and reads the files that they name.
func (f *clusterFlags) check(command *kong.Context, dataDir string) (err error) {
	switch {
	case f.NATSURL == "":
		f.natsUnused = given(command, clusterSettings...)
	case dataDir != "":
		return errors.New("--nats-url ($NATS_URL) and --data-dir ($DATA_DIR) exclude each other: the state is either in NATS or in a directory, so set one of them")
	default:
		if f.servers, err = natsServers(f.NATSURL); err != nil {
			return err
		}
	}
	if !streamName.MatchString(f.NATSStream) {
		return fmt.Errorf("--nats-stream ($NATS_STREAM): expected letters, digits, - and _ but got %q", f.NATSStream)
	}
	if !slices.Contains([]int{0, 1, 3, 5}, f.NATSReplicas) {
		return fmt.Errorf("--nats-replicas ($NATS_REPLICAS): expected 0, 1, 3 or 5 but got %d", f.NATSReplicas)
	}
	if err := f.checkNode(); err != nil || f.NATSURL == "" {
		return err
	}
	return f.checkFiles()
}

var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// checkNode checks the name of the node, and sets it to the host's name if it is empty.
func (f *clusterFlags) checkNode() error {
	const longest = 64 // bytes, because the name is in each line of the log
	isPrintable := func(r rune) bool { return unicode.IsPrint(r) && r != utf8.RuneError }
	switch {
	case len(f.Node) > longest:
		return fmt.Errorf("--node ($NODE_NAME): expected at most %d bytes but got %d", longest, len(f.Node))
	case strings.TrimFunc(f.Node, isPrintable) != "":
		return fmt.Errorf("--node ($NODE_NAME): expected characters that can be printed but got %q", f.Node)
	case f.Node == "":
		host, _ := os.Hostname()
		f.Node = cmp.Or(host, "rtdb")
	}
	return nil
}

// natsServers checks a list of URLs, and returns them without users, passwords and tokens.
// Its errors do not have them either: a list with a user is not shown at all, because a
// password may have any character.
func natsServers(list string) (servers []string, err error) {
	for i, text := range splitList(list) {
		shown := fmt.Sprintf("%q", text)
		if strings.Contains(list, "@") {
			shown = fmt.Sprintf("something else for server %d, which is not shown because it may have a password", i+1)
		}
		full := text
		if !strings.Contains(full, "://") {
			full = "nats://" + full
		}
		u, err := url.Parse(full)
		switch {
		case err != nil, u.Hostname() == "", u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", !isPort(u.Port()),
			!slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			return nil, fmt.Errorf("--nats-url ($NATS_URL): expected URLs like nats://host:4222 or tls://host:4222, with the characters @ / : , of a password written as %%40 %%2F %%3A %%2C, but got %s", shown)
		}
		u.User = nil
		servers = append(servers, u.String())
	}
	if len(servers) == 0 {
		return nil, errors.New("--nats-url ($NATS_URL): it names no server")
	}
	return servers, nil
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// checkFiles reads the files of the credentials and the certificates. They are read again for
// each connection.
func (f *clusterFlags) checkFiles() error {
	if f.NATSCreds != "" && f.NATSSeed != "" {
		return errors.New("--nats-creds ($NATS_CREDS) and --nats-seed ($NATS_SEED) exclude each other: set one of them")
	}
	if (f.NATSTLSCert == "") != (f.NATSTLSKey == "") {
		return errors.New("--nats-tls-cert ($NATS_TLS_CERT) and --nats-tls-key ($NATS_TLS_KEY) go together: set both or neither")
	}
	for _, x := range []struct {
		name, file string
		check      func(text []byte) error
	}{
		{"--nats-creds ($NATS_CREDS)", f.NATSCreds, checkCredentials},
		{"--nats-seed ($NATS_SEED)", f.NATSSeed, checkSeed},
		{"--nats-tls-ca ($NATS_TLS_CA)", f.NATSTLSCA, func(text []byte) error {
			if !x509.NewCertPool().AppendCertsFromPEM(text) {
				return errors.New("it has no certificate in PEM")
			}
			return nil
		}},
	} {
		if x.file == "" {
			continue
		}
		text, err := os.ReadFile(x.file)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		if err := x.check(text); err != nil {
			return fmt.Errorf("%s: %s: %w", x.name, x.file, err)
		}
	}
	if f.NATSTLSCert != "" {
		if _, err := tls.LoadX509KeyPair(f.NATSTLSCert, f.NATSTLSKey); err != nil {
			return fmt.Errorf("--nats-tls-cert ($NATS_TLS_CERT), --nats-tls-key ($NATS_TLS_KEY): %w", err)
		}
	}
	return nil
}

// The errors of nkeys may have a part of the seed, so they are not passed on.

func checkCredentials(text []byte) error {
	// Without a block of a JWT, nkeys returns the whole text.
	if jwt, err := nkeys.ParseDecoratedJWT(text); err != nil || strings.Count(jwt, ".") != 2 {
		return errors.New("it has no JWT: make the file by nsc generate creds")
	}
	if _, err := nkeys.ParseDecoratedNKey(text); err != nil {
		return errors.New("it has no NKey seed after the JWT: make the file by nsc generate creds")
	}
	return nil
}

func checkSeed(text []byte) error {
	if _, err := nkeys.ParseDecoratedNKey(text); err != nil {
		return errors.New("it has no NKey seed, which begins with SU: make one by nk -gen user")
	}
	return nil
}

// options returns the settings of the store, without the observer.
func (f *clusterFlags) options() jetstream.Options {
	return jetstream.Options{
		URL: strings.Join(splitList(f.NATSURL), ","), Credentials: f.NATSCreds, Seed: f.NATSSeed,
		CA: f.NATSTLSCA, Certificate: f.NATSTLSCert, Key: f.NATSTLSKey,
		Stream: f.NATSStream, Replicas: f.NATSReplicas, Node: f.Node,
	}
}
