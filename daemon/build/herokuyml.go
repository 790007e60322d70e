package build

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"towline/daemon"
)

// herokuYML is a heroku.yml: the Dockerfile of each process type, its build arguments, and
// what runs. See https://devcenter.heroku.com/articles/build-docker-images-heroku-yml.
type herokuYML struct {
	docker  map[string]dockerImage // by process type
	config  map[string]string      // build arguments
	run     map[string]runCommand
	release *runCommand
	notes   []string // for the pusher
}

// dockerImage is what a process type is built from.
type dockerImage struct {
	Dockerfile string
	Target     string
}

// runCommand is what a process type, or the release phase, runs, in the image of another type.
type runCommand struct {
	Command string
	Image   string // process type; empty: its own, or web's
}

const (
	herokuYMLName = "heroku.yml"
	maxHerokuYML  = 64 << 10
)

// readHerokuYML reads a source's heroku.yml; nil: there is none.
func readHerokuYML(source string) (*herokuYML, error) {
	text, err := readPlain(source, herokuYMLName, maxHerokuYML)
	if err != nil || text == nil {
		return nil, err
	}
	return parseHerokuYML(text)
}

func parseHerokuYML(text []byte) (*herokuYML, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, badHerokuYML("%s", yamlError(err))
	}
	m := &herokuYML{docker: map[string]dockerImage{}, config: map[string]string{}, run: map[string]runCommand{}}
	if len(doc.Content) == 0 {
		return m, nil
	}
	err := m.each(doc.Content[0], "the file", func(key string, value *yaml.Node) error {
		if isNull(value) { // a section with nothing in it
			return nil
		}
		switch key {
		case "build":
			return m.each(value, "build", m.readBuild)
		case "run":
			return m.each(value, "run", m.readRun)
		case "release":
			command, err := m.readCommand(value, "release")
			m.release = &command
			return err
		case "setup":
			return m.each(value, "setup", m.readSetup)
		}
		m.note("%s has no effect here", daemon.Clip(key))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, m.check()
}

// yamlError is the first thing that is wrong.
func yamlError(err error) string {
	var list *yaml.TypeError
	if errors.As(err, &list) && len(list.Errors) > 0 {
		return list.Errors[0]
	}
	return strings.TrimPrefix(err.Error(), "yaml: ")
}

func badHerokuYML(format string, args ...any) *daemon.Error {
	return daemon.Errorf(daemon.Invalid, "heroku.yml: "+format, args...).
		WithHint("mend it, commit and push again; towline builder:set buildpacks leaves heroku.yml alone")
}

// maxNotes are as many as anybody reads.
const maxNotes = 20

func (m *herokuYML) note(format string, args ...any) {
	text := "there is more that has no effect here"
	switch n := len(m.notes); {
	case n > maxNotes:
		return
	case n < maxNotes:
		text = fmt.Sprintf(format, args...)
	}
	m.notes = append(m.notes, "heroku.yml: "+text)
}

// each calls do for the entries of a mapping, those that it merges from another included.
func (m *herokuYML) each(node *yaml.Node, what string, do func(key string, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode {
		return badHerokuYML("line %d: %s is not a list of names with values", node.Line, what)
	}
	var entries map[string]yaml.Node
	if err := node.Decode(&entries); err != nil {
		return badHerokuYML("%s", yamlError(err))
	}
	for _, key := range daemon.SortedKeys(entries) {
		value := entries[key]
		if value.Kind == yaml.AliasNode {
			value = *value.Alias
		}
		if err := do(key, &value); err != nil {
			return err
		}
	}
	return nil
}

func (m *herokuYML) readBuild(key string, value *yaml.Node) error {
	if isNull(value) {
		return nil
	}
	switch key {
	case "docker":
		return m.each(value, "build.docker", m.readDocker)
	case "config":
		return m.each(value, "build.config", func(key string, value *yaml.Node) (err error) {
			if err := daemon.CheckConfigKey(key); err != nil {
				return badHerokuYML("line %d: build.config: %v", value.Line, err)
			}
			m.config[key], err = scalar(value, "build.config "+daemon.Clip(key))
			return err
		})
	}
	m.note("build.%s has no effect here", daemon.Clip(key))
	return nil
}

// readDocker reads a Dockerfile's path, or an object of it and a target.
func (m *herokuYML) readDocker(process string, value *yaml.Node) (err error) {
	if err := checkType(process, value, "build.docker"); err != nil {
		return err
	}
	var image dockerImage
	if value.Kind == yaml.MappingNode {
		err = m.each(value, "build.docker "+process, func(key string, value *yaml.Node) (err error) {
			switch key {
			case "dockerfile":
				image.Dockerfile, err = scalar(value, "dockerfile")
			case "target":
				image.Target, err = scalar(value, "target")
			default:
				m.note("build.docker.%s.%s has no effect here", process, daemon.Clip(key))
			}
			return err
		})
	} else {
		image.Dockerfile, err = scalar(value, "build.docker "+process)
	}
	if err != nil {
		return err
	}
	if image.Dockerfile, err = daemon.CheckSourcePath(image.Dockerfile); err != nil {
		return badHerokuYML("line %d: build.docker %s: %v", value.Line, process, err)
	}
	if err := daemon.CheckStage(image.Target); err != nil {
		return badHerokuYML("line %d: build.docker %s: %v", value.Line, process, err)
	}
	m.docker[process] = image
	return nil
}

func (m *herokuYML) readRun(process string, value *yaml.Node) error {
	if err := checkType(process, value, "run"); err != nil {
		return err
	}
	command, err := m.readCommand(value, "run "+process)
	m.run[process] = command
	return err
}

// readCommand reads a command, a list of them, or an object of those and an image.
func (m *herokuYML) readCommand(value *yaml.Node, what string) (c runCommand, err error) {
	if value.Kind != yaml.MappingNode {
		c.Command, err = commandOf(value, what)
		return c, err
	}
	err = m.each(value, what, func(key string, value *yaml.Node) (err error) {
		switch key {
		case "command":
			c.Command, err = commandOf(value, what)
		case "image":
			c.Image, err = scalar(value, what+" image")
		default:
			m.note("%s: %s has no effect here", what, daemon.Clip(key))
		}
		return err
	})
	if err == nil && c.Command == "" {
		err = badHerokuYML("line %d: %s has no command", value.Line, what)
	}
	return c, err
}

// commandOf joins the commands of a list: each runs if the one before has succeeded, whatever
// it has of comments and operators.
func commandOf(value *yaml.Node, what string) (string, error) {
	nodes := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		nodes = value.Content
	}
	var commands []string
	for _, node := range nodes {
		command, err := scalar(node, what)
		if err != nil {
			return "", err
		}
		if command = strings.TrimSpace(command); command == "" || strings.ContainsRune(command, 0) {
			return "", badHerokuYML("line %d: %s has an empty command", node.Line, what)
		}
		commands = append(commands, command)
	}
	if len(commands) == 0 {
		return "", badHerokuYML("line %d: %s has no command", value.Line, what)
	}
	for i, command := range commands {
		if len(commands) > 1 && strings.ContainsAny(command, "#;&|\n") {
			commands[i] = "{ " + command + "\n}"
		}
	}
	return strings.Join(commands, " && "), nil
}

func (m *herokuYML) readSetup(key string, _ *yaml.Node) error {
	switch key {
	case "addons":
		m.note("setup.addons: a push creates none; towline addons:create SERVICE does")
	case "config":
		m.note("setup.config: a push sets none; towline config:set KEY=value does")
	default:
		m.note("setup.%s has no effect here", daemon.Clip(key))
	}
	return nil
}

func scalar(node *yaml.Node, what string) (string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode || isNull(node) {
		return "", badHerokuYML("line %d: %s is not a text", node.Line, what)
	}
	return node.Value, nil
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

func checkType(process string, value *yaml.Node, what string) error {
	if !daemon.ProcessType.MatchString(process) || len(process) > 30 {
		return badHerokuYML("line %d: %s: %q is not a process type", value.Line, what, daemon.Clip(process))
	}
	return nil
}

// check looks at what names a process type's image.
func (m *herokuYML) check() error {
	if n := max(len(m.docker), len(m.run)); n > daemon.MaxProcessTypes {
		return badHerokuYML("an app has at most %d process types, not %d", daemon.MaxProcessTypes, n)
	}
	refer := func(what, image string) error {
		if _, ok := m.docker[image]; image != "" && !ok && len(m.docker) > 0 {
			return badHerokuYML("%s is to run in the image of %s, which build.docker does not have", what, daemon.Clip(image))
		}
		return nil
	}
	for _, process := range daemon.SortedKeys(m.run) {
		if err := refer("run "+process, m.run[process].Image); err != nil {
			return err
		}
	}
	if m.release != nil {
		return refer("release", m.release.Image)
	}
	return nil
}

// image is the one image that all process types run in. What is in build.docker for others
// to run in, and nobody does, is not built.
func (m *herokuYML) image() (dockerImage, error) {
	of := map[string]dockerImage{}
	for process, command := range m.run {
		of[process] = m.imageOf(process, command.Image)
	}
	if m.release != nil {
		of["release"] = m.imageOf("release", m.release.Image)
	}
	for process, image := range m.docker {
		if _, ok := of[process]; !ok && process != "release" {
			of[process] = image
		}
	}
	if len(of) == 0 {
		of = m.docker
	}
	processes := daemon.SortedKeys(of)
	first := processes[0]
	if _, ok := of["web"]; ok {
		first = "web"
	}
	for _, process := range processes {
		if of[process] != of[first] {
			return dockerImage{}, daemon.Errorf(daemon.Invalid, "heroku.yml builds %s from %s and %s from %s, and an app has one image here",
				first, of[first].name(), process, of[process].name()).
				WithHint("have one Dockerfile that serves both, or make %s an app of its own: towline builder:set dockerfile --path %s", process, of[process].Dockerfile)
		}
	}
	return of[first], nil
}

// imageOf is what a process type runs in: what it names, its own, else that of web, else the
// first.
func (m *herokuYML) imageOf(process, named string) dockerImage {
	for _, p := range []string{named, process, "web", daemon.SortedKeys(m.docker)[0]} {
		if image, ok := m.docker[p]; ok {
			return image
		}
	}
	return dockerImage{}
}

func (i dockerImage) name() string {
	if i.Target != "" {
		return i.Dockerfile + " (" + i.Target + ")"
	}
	return i.Dockerfile
}

// types are the commands of all process types that have one.
func (m *herokuYML) types() map[string]string {
	types := map[string]string{}
	for process, command := range m.run {
		types[process] = command.Command
	}
	if m.release != nil {
		types["release"] = m.release.Command
	}
	return types
}

// defaults are the process types that run their image's own command.
func (m *herokuYML) defaults() (types []string) {
	for process := range m.docker {
		if _, ok := m.run[process]; !ok && process != "web" && process != "release" {
			types = append(types, process)
		}
	}
	slices.Sort(types)
	return types
}
