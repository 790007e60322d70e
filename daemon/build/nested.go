package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"towline/daemon"
)

const (
	nestedStore  = "/var/lib/containers/storage"
	nestedConfig = "/etc/towline-build" // mounted; buildah is told by the environment
)

// nestedCapabilities are what buildah and the commands of a Dockerfile have. Not
// SYS_ADMIN: with it, a read-only mount could be made writable.
var nestedCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE",
	"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// writeNestedConfig makes the files that are the same for every nested build.
func (b *Builder) writeNestedConfig() error {
	dir := b.path("config")
	err := os.MkdirAll(dir, 0o711)
	for name, text := range map[string]string{
		"policy.json": `{"default":[{"type":"insecureAcceptAnything"}]}` + "\n",
		// What a Dockerfile's author means by "FROM node".
		"registries.conf": "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"permissive\"\n",
		"containers.conf": fmt.Sprintf("[containers]\ndefault_capabilities = [\"%s\"]\n", strings.Join(nestedCapabilities, `", "`)),
	} {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644))
	}
	return err
}

// storageConfig is buildah's, with further stores that it may read.
func storageConfig(bases []string) string {
	var stores []string
	for i := range bases {
		stores = append(stores, fmt.Sprintf("%q", baseMount(i)))
	}
	return fmt.Sprintf("[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = %q\n"+
		"[storage.options]\nadditionalimagestores = [%s]\n", nestedStore, strings.Join(stores, ", "))
}

func baseMount(i int) string { return fmt.Sprintf("/bases/%d", i) }

// nested is a container that runs a shell script around buildah.
func (j *job) nested(script string, env map[string]string, args ...string) daemon.ContainerSpec {
	all := map[string]string{
		"CONTAINERS_REGISTRIES_CONF": nestedConfig + "/registries.conf",
		"CONTAINERS_CONF":            nestedConfig + "/containers.conf",
		"STORAGE_DRIVER":             "overlay",
		"BUILDAH_ISOLATION":          "chroot",
		"HOME":                       "/root",
	}
	for k, v := range env {
		all[k] = v
	}
	return daemon.ContainerSpec{
		Image:      j.b.options.Dockerfile,
		Entrypoint: []string{"sh", "-c", script, "sh"},
		Command:    args,
		Env:        all,
		User:       "0:0",
		WorkDir:    "/",
		Networks:   []daemon.Attachment{{Network: j.b.network(j.req.ID)}},
		Mounts: []daemon.Mount{
			{Source: j.b.path("config"), Target: nestedConfig, ReadOnly: true},
			{Source: j.b.path("config", "policy.json"), Target: "/etc/containers/policy.json", ReadOnly: true},
		},
		CapDrop:    []string{"ALL"},
		CapAdd:     nestedCapabilities,
		Unconfined: appArmor(),
		Init:       true,
	}
}
