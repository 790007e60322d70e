package apps

import (
	"towline/daemon"
	"towline/daemon/appjson"
)

// This file has what test runs do as deploys do it.

// ReadTests reads the app.json of unpacked source whose tests are to run.
func ReadTests(dir, app string) (appjson.File, error) {
	if err := checkSubmodules(dir, app); err != nil {
		return appjson.File{}, err
	}
	says, err := readSource(dir)
	return says.manifest, err
}

// ShellLine is how a line for a shell is started in an image that was just built: by what sets up
// the environment of a buildpack's processes or, past the image's entry point, by its shell.
func ShellLine(built daemon.BuildResult, line string) daemon.Process {
	if built.Launcher != nil {
		return daemon.Process{Command: line, Entrypoint: built.Launcher, Args: []string{line}}
	}
	return daemon.Process{Command: line, Entrypoint: []string{"/bin/sh"}, Args: []string{"-c", line}}
}
