package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A commandLine is what rtdb can be told. The settings stand beside the
// commands, not below one of them, so that --help shows all at once, and so
// that health knows where the server listens.
type commandLine struct {
	config

	Serve   struct{}      `cmd:"" default:"1" help:"Serve over HTTP and WebSocket: what rtdb does without a command."`
	Health  healthCommand `cmd:"" help:"Ask a server whether it is alive: exit 0 if it is, else 1."`
	Bench   benchCommand  `cmd:"" help:"Load a server and say what the machine can take: exit 0 if nothing was lost, else 1."`
	Token   tokenCommand  `cmd:"" help:"Make a token, or look into one."`
	Version struct{}      `cmd:"" help:"Print the version."`
}

// A config is the settings of the server.
type config struct {
	Port      int    `default:"8080" env:"PORT" help:"TCP port to listen on. 0 is any free one; the log says which."`
	Host      string `default:"localhost" env:"HOST" help:"Name or address to listen on."`
	LogLevel  string `default:"info" enum:"trace,debug,info,warn,error" env:"LOG_LEVEL" help:"Lowest level to log: trace, debug, info, warn or error."`
	LogFormat string `default:"auto" enum:"auto,json,console" env:"LOG_FORMAT" help:"json, console, or auto: console on a terminal, else json."`

	accessConfig
	limitsConfig
}

// Validate is called by kong once all settings are known.
func (c *config) Validate() error {
	switch {
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("--port ($PORT): expected 0 to 65535 but got %d", c.Port)
	case strings.TrimSpace(c.Host) == "":
		return fmt.Errorf("--host ($HOST): expected a name or an address but got %q", c.Host)
	}
	if err := c.check(); err != nil {
		return err
	}
	_, err := c.accessConfig.read()
	return err
}

// parse reads the arguments and the environment, and returns the command. It
// prints the help, and ends the process, where that is asked for.
func parse(args []string, stdout io.Writer) (*commandLine, string, error) {
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("rtdb"),
		kong.Description("A real-time database: every change of a key reaches every subscribed client at once."),
		kong.Writers(stdout, stdout),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return nil, "", err
	}
	if err := settleVariables(parser.Model.Flags, args); err != nil {
		return nil, "", err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		if len(args) > 0 && args[0] == "token" && strings.HasPrefix(err.Error(), "unexpected argument") {
			err = errors.New("token: unexpected argument: to look into a token, say token inspect") // and do not repeat it
		}
		return nil, "", err
	}
	for _, element := range parsed.Path {
		// An empty variable is none, but who writes an empty flag wanted to say
		// something: a key that is empty by mistake would leave the door open.
		if f := element.Flag; f != nil && f.Target.Kind() == reflect.String && f.Target.String() == "" {
			return nil, "", fmt.Errorf("--%s: it is empty", f.Name)
		}
	}
	return &line, parsed.Command(), nil
}

// settleVariables unsets the variables that do not count, which kong would
// read: an empty one is an unset one, and where there is a flag its variable
// may be nonsense.
func settleVariables(flags []*kong.Flag, args []string) error {
	for _, flag := range flags {
		name := "--" + flag.Name
		given := slices.ContainsFunc(args, func(arg string) bool {
			return arg == name || strings.HasPrefix(arg, name+"=")
		})
		for _, variable := range flag.Envs {
			if !given && os.Getenv(variable) != "" {
				continue
			}
			if err := os.Unsetenv(variable); err != nil {
				return err
			}
		}
	}
	return nil
}
