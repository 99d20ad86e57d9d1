package main

import (
	_ "embed"
	"fmt"
)

// The scripts ask rtdb complete for the candidates.
var (
	//go:embed completion.bash
	bashScript string
	//go:embed completion.zsh
	zshScript string
)

// A completionCommand prints the script that lets a shell complete the arguments of rtdb.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh" help:"bash or zsh. Load the script by source <(rtdb completion bash), for example in ~/.bashrc."`
}

// Run prints the script.
func (c *completionCommand) Run(s *streams) error {
	script := bashScript
	if c.Shell == "zsh" {
		script = zshScript
	}
	_, err := fmt.Fprint(s.out, script)
	return quietly(err)
}
