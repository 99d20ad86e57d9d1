package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A commandLine has a field for each command. A command is a struct of its flags with a
// method Run. After the flags are set, kong calls the command's AfterApply or Validate,
// which check the flags and read the keys that they name.
type commandLine struct {
	Serve    serveCommand    `cmd:"" default:"withargs" help:"Run the server (the default). Its flags are below."`
	Health   healthCommand   `cmd:"" help:"Check that a server is alive. Exit status 0 if it is, else 1."`
	Token    tokenCommand    `cmd:"" help:"Make an access token (the default), or inspect one."`
	Get      getCommand      `cmd:"" help:"Print the values of keys. Exit status 1 if there is no such key."`
	Set      setCommand      `cmd:"" help:"Write a key, and print the version."`
	Patch    patchCommand    `cmd:"" help:"Change a part of a value by a JSON Merge Patch, and print the version."`
	Delete   deleteCommand   `cmd:"" help:"Delete keys. Exit status 1 if there is no such key."`
	List     listCommand     `cmd:"" help:"List keys."`
	Watch    watchCommand    `cmd:"" help:"Print each change of keys, and each message of topics."`
	Publish  publishCommand  `cmd:"" help:"Send a message to a topic."`
	Bench    benchCommand    `cmd:"" help:"Measure a server under load. Exit status 1 if an update was lost or wrong."`
	Export   exportCommand   `cmd:"" help:"Write the keys of a running server as JSON lines."`
	Import   importCommand   `cmd:"" help:"Write JSON lines to a running server as keys. Exit status 1 if a line was not imported."`
	Backup   backupCommand   `cmd:"" help:"Write a backup of a running server to a file, and check it."`
	Check    checkCommand    `cmd:"" help:"Read a whole store, and print a summary. Exit status 1 if it is damaged."`
	Repair   repairCommand   `cmd:"" help:"List the losses of a damaged store, and with --yes repair it."`
	Restore  restoreCommand  `cmd:"" help:"Make a store of a backup."`
	Demo     demoCommand     `cmd:"" help:"Run a server in memory with live pages: a dashboard, a chat, an editor and devices."`
	Simulate simulateCommand `cmd:"" help:"Run simulated devices, each with a connection of its own."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print a script that lets bash or zsh complete commands and keys."`
	Complete   completeCommand   `cmd:"" hidden:""`
}

const description = `A real-time database and publish/subscribe server: every change of a key reaches every subscribed client at once.

Each setting is a flag, or else the environment variable in brackets, or else the default.`

// flagGroups are the headings in the help, by the flags' tag group.
var flagGroups = []kong.Group{
	{Key: "listening", Title: "Listening:"},
	{Key: "access", Title: "Access (without a key, every client may do everything):"},
	{Key: "pages", Title: "Pages (they need no token):"},
	{Key: "tls", Title: "TLS:"},
	{Key: "storage", Title: "Storage (without a directory, the state is lost when rtdb ends):"},
	{Key: "nodes", Title: "Several nodes (they share one state, in NATS JetStream):"},
	{Key: "limits", Title: "Limits:"},
	{Key: "logging", Title: "Logging:"},
	{Key: "tuning", Title: "Tuning:"},
	{Key: "write", Title: "Write:"},
	{Key: "server", Title: "Server:"},
	{Key: "demo", Title: "Demo:"},
	{Key: "devices", Title: "Devices:"},
	{Key: "load", Title: "Load:"},
	{Key: "keys", Title: "Keys:"},
	{Key: "input", Title: "Input:"},
	{Key: "output", Title: "Output:"},
	{Key: "grants", Title: "Grants (repeat a flag to grant more):"},
	{Key: "token", Title: "Token:"},
	{Key: "signing", Title: "Key that signs the token:"},
}

// parse reads the arguments and the environment and returns the command to run. It
// returns nil if the arguments ask for help, which it prints.
func parse(args []string, s *streams) (*kong.Context, error) {
	var wrong wrongVariables
	parser, helped, err := newParser(s, &wrong)
	if err != nil {
		return nil, err
	}
	command, err := parser.Parse(withNumbers(withoutHelp(args)))
	switch {
	case *helped:
		return nil, nil
	case len(wrong) > 0: // kong reports only one of them, and not always the same
		return nil, errors.New(strings.Join(wrong, "; "))
	case err != nil:
		return nil, explain(err, parser.Model.Node)
	}
	return command, nil
}

// newParser returns a parser of the command line. It sets helped if the arguments ask for
// help.
func newParser(s *streams, wrong *wrongVariables) (parser *kong.Kong, helped *bool, err error) {
	helped = new(bool)
	parser, err = kong.New(&commandLine{},
		kong.Name("rtdb"),
		kong.Description(description),
		kong.ExplicitGroups(flagGroups),
		kong.Writers(s.out, s.err),
		kong.Exit(func(int) { *helped = true }), // kong calls it once the help is printed
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(helpText),
		kong.Resolvers(kong.ResolverFunc(wrong.resolve)),
		kong.WithBeforeApply(refuseEmpty),
	)
	if err != nil {
		return nil, nil, err
	}
	parser.Model.HelpFlag.Help = "Show this help."
	return parser, helped, nil
}

// withoutHelp returns args with the flag --help if they are "help", or have it as the first
// or the last of several commands, as in rtdb help token.
func withoutHelp(args []string) []string {
	first := len(args) > 0 && args[0] == "help"
	last := len(args) > 0 && args[len(args)-1] == "help"
	switch isFlag := func(arg string) bool { return strings.HasPrefix(arg, "-") }; {
	case first:
		return slices.Concat(args[1:], []string{"--help"})
	case last && !slices.ContainsFunc(args, isFlag):
		return slices.Concat(args[:len(args)-1], []string{"--help"})
	}
	return args
}

// printHelp prints kong's help. For a command with a default command it also prints that
// one's flags, because they need not follow its name.
func printHelp(options kong.HelpOptions, command *kong.Context) error {
	node := command.Selected()
	if node == nil {
		node = command.Model.Node
	}
	if node.DefaultCmd != nil {
		node.Flags = append(node.Flags, node.DefaultCmd.Flags...)
	}
	return kong.DefaultHelpPrinter(options, command)
}

// helpText returns the help of a flag or an argument with its environment variable.
func helpText(value *kong.Value) string {
	if len(value.Tag.Envs) == 0 {
		return value.Help
	}
	return value.Help + " [$" + strings.Join(value.Tag.Envs, ", $") + "]"
}

// wrongVariables are errors of environment variables, in the order of their flags in the
// help.
type wrongVariables []string

// resolve returns the default of a flag whose environment variable is empty, and notes a
// variable that is wrong. kong calls it for each flag of the command that the arguments
// do not set. With a resolver, kong also ignores a wrong variable if the arguments set its
// flag.
func (w *wrongVariables) resolve(command *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Name == "url" && hasArgument(command, "host", "port") {
		return "", nil // the arguments name another server than $RTDB_URL
	}
	for _, name := range flag.Envs {
		value, ok := os.LookupEnv(name)
		switch {
		case !ok:
		case value == "" && flag.HasDefault:
			return flag.Default, nil
		case value != "":
			trial := reflect.New(flag.Target.Type()).Elem()
			err := flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), trial)
			if err != nil {
				reason := strings.TrimPrefix(plain(err).Error(), "--"+flag.Name+": ")
				*w = append(*w, fmt.Sprintf("$%s (--%s): %s", name, flag.Name, reason))
			}
		}
	}
	return nil, nil
}

// hasArgument reports whether the arguments set one of the flags.
func hasArgument(command *kong.Context, flags ...string) bool {
	return slices.ContainsFunc(command.Path, func(p *kong.Path) bool {
		return p.Flag != nil && !p.Resolved && slices.Contains(flags, p.Flag.Name)
	})
}

// refuseEmpty returns an error if element is a flag that the arguments set to the
// empty string. Unlike an empty variable that is a mistake: an empty secret would
// leave the server open.
func refuseEmpty(command *kong.Context, element *kong.Path) error {
	if element.Flag == nil || element.Resolved {
		return nil
	}
	value := command.Value(element)
	if value.Kind() == reflect.String && value.String() == "" {
		return fmt.Errorf("--%s: it is empty: give a value or leave the flag out", element.Flag.Name)
	}
	return nil
}
