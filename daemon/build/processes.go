package build

import (
	"encoding/json"
	"strings"

	"towline/daemon/shell"
)

// processesLabel is where the lifecycle records the process types of an image.
const processesLabel = "io.buildpacks.build.metadata"

// builtProcess is one of them. Command is a string up to platform API 0.9 and a
// list from 0.10 on.
type builtProcess struct {
	Type    string    `json:"type"`
	Command oneOrMore `json:"command"`
	Args    []string  `json:"args"`
	Direct  bool      `json:"direct"`
}

type oneOrMore []string

func (c *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*c = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(c))
}

// parseProcesses reads the label: process types to whole commands, each to be
// given to the launcher as its one argument, which starts a shell for it.
func parseProcesses(label string) (map[string]string, error) {
	if label == "" {
		return nil, nil
	}
	var metadata struct {
		Processes []builtProcess `json:"processes"`
	}
	if err := json.Unmarshal([]byte(label), &metadata); err != nil {
		return nil, err
	}
	processes := map[string]string{}
	for _, p := range metadata.Processes {
		if command := p.command(); p.Type != "" && command != "" {
			processes[p.Type] = command
		}
	}
	return processes, nil
}

func (p builtProcess) command() string {
	if len(p.Command) == 0 {
		return ""
	}
	words := append(append([]string{}, p.Command...), p.Args...)
	if !p.Direct && len(p.Command) == 1 {
		// A line for a shell, whose arguments are words of their own.
		return strings.TrimSpace(p.Command[0] + " " + shell.Join(p.Args))
	}
	if len(words) == 3 && (words[0] == "bash" || words[0] == "sh" || words[0] == "/bin/bash" || words[0] == "/bin/sh") && words[1] == "-c" {
		return words[2] // the launcher's shell does as well
	}
	return shell.Join(words)
}
