package build

import (
	"cmp"
	"path"
	"strings"

	"towline/daemon"
)

// method is how a source is built, and why.
type method struct {
	dockerfile string // its path in the source; empty: by buildpacks
	context    string // the directory of the source that the Dockerfile copies from
	target     string // its stage; empty: the last
	args       map[string]string
	why        string            // for the pusher: ends the sentence "Building with X: "
	instead    string            // what takes another builder; may be empty
	types      map[string]string // as in BuildResult
	defaults   []string          // process types that run the image's own command, besides web
	notes      []string          // for the pusher
	project    project           // of a build by buildpacks
}

// choose decides how a source is built: by what the app's people have set, else by its
// heroku.yml, else by a Dockerfile at its top, else by buildpacks.
func choose(source string, choice daemon.BuilderChoice) (method, error) {
	choice, err := daemon.CheckBuilderChoice(choice)
	if err != nil {
		return method{}, err
	}
	if choice.Kind == daemon.BuildBuildpacks {
		return byBuildpacks(source, method{why: "builder:set says so"})
	}
	var unused []string
	if choice.Path == "" {
		m, found, err := chooseHerokuYML(source, choice)
		if found || err != nil {
			return m, err
		}
		unused = m.notes
	}
	file, err := chosenContainerfile(source, choice.Path)
	if err != nil {
		return method{}, err
	}
	switch {
	case choice.Kind == daemon.BuildDockerfile && file == "":
		return method{}, daemon.Errorf(daemon.Invalid, "there is no Dockerfile at the top of the source, and builder:set asks for one").
			WithHint("commit one, or: towline builder:set dockerfile --path PATH, or: towline builder:set auto")
	case choice.Kind == daemon.BuildDockerfile:
		return method{dockerfile: file, context: ".", target: choice.Target, why: "builder:set says so", notes: unused}, nil
	case file != "":
		return method{dockerfile: file, context: ".", why: "the source has one at its top", instead: "buildpacks", notes: unused}, nil
	}
	return byBuildpacks(source, method{why: "the source has no Dockerfile at its top", instead: "dockerfile --path PATH", notes: unused})
}

// byBuildpacks adds what the source's project.toml says.
func byBuildpacks(source string, m method) (method, error) {
	var err error
	m.project, err = readProject(source)
	m.notes = append(m.notes, m.project.notes...)
	return m, err
}

// chosenContainerfile is the Dockerfile to build; empty: there is none at the top.
func chosenContainerfile(source, name string) (string, error) {
	if name == "" {
		return findContainerfile(source)
	}
	text, err := readPlain(source, name, maxContainerfile)
	if err == nil && text == nil {
		err = daemon.Errorf(daemon.Invalid, "the source has no file %s, and builder:set asks for it", daemon.Clip(name)).
			WithHint("commit it, or choose another: towline builder:set dockerfile --path PATH, or: towline builder:set auto")
	}
	return name, err
}

// chooseHerokuYML reads the heroku.yml. One that names no Dockerfile decides nothing, which is
// noted.
func chooseHerokuYML(source string, choice daemon.BuilderChoice) (m method, found bool, err error) {
	file, err := readHerokuYML(source)
	if err != nil || file == nil {
		return m, false, err
	}
	if len(file.docker) == 0 {
		m.notes = file.notes
		if len(file.run) > 0 || file.release != nil {
			m.notes = append(m.notes, "heroku.yml names no Dockerfile (build.docker), so its run and release have no effect: write them in a Procfile")
		}
		return m, false, nil
	}
	image, err := file.image()
	if err != nil {
		return m, false, err
	}
	text, err := readPlain(source, image.Dockerfile, maxContainerfile)
	if err != nil {
		return m, false, err
	}
	if text == nil {
		return m, false, daemon.Errorf(daemon.Invalid, "heroku.yml names %s, which is not in the source", daemon.Clip(image.Dockerfile)).
			WithHint("write the path as it is in the repository; towline builder:set buildpacks leaves heroku.yml alone")
	}
	m = method{
		dockerfile: image.Dockerfile, context: path.Dir(image.Dockerfile), target: cmp.Or(choice.Target, image.Target),
		args: file.config, why: "heroku.yml names it", instead: "buildpacks", types: file.types(), defaults: file.defaults(), notes: file.notes,
	}
	if choice.Kind != "" {
		m.instead = ""
	}
	if procfile, err := readPlain(source, "Procfile", maxContainerfile); err == nil && procfile != nil {
		m.notes = append(m.notes, "the Procfile is not looked at, as there is a heroku.yml: its run and release count")
	}
	return m, true, nil
}

// checkTarget refuses a stage that the Dockerfile does not have.
func (m method) checkTarget(file containerfile) error {
	if m.target == "" || file.stage(m.target) >= 0 {
		return nil
	}
	var names []string
	for number, name := range file.stages {
		names = append(names, cmp.Or(name, stageNumber(number)))
	}
	return daemon.Errorf(daemon.Invalid, "%s has no stage %s", m.dockerfile, daemon.Clip(m.target)).
		WithHint("its stages are: %s", strings.Join(names, ", "))
}

// say tells the pusher how the source is built and why, and what was found on the way.
func (m method) say(out *output, with string) {
	out.Stage("Building with %s: %s", with, m.why)
	if m.instead != "" {
		out.Note("towline builder:set %s chooses otherwise", m.instead)
	}
	for _, note := range m.notes {
		out.Warn(note)
	}
}

// name is the Dockerfile for the pusher, with its stage.
func (m method) name() string {
	switch {
	case m.target != "":
		return m.dockerfile + ", stage " + m.target
	case strings.Contains(m.dockerfile, "/"):
		return m.dockerfile
	}
	return "the " + m.dockerfile
}
