package stack

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Objects is everything of an installation in Podman, by name, sorted.
type Objects struct {
	Containers, Networks, Volumes, Images []string
}

// Objects lists what the stack has in Podman now.
func (s *Stack) Objects() (Objects, error) { return objects(s.Name) }

func objects(name string) (o Objects, err error) {
	label := "label=towline=" + name
	var stored []string // what Podman has left half made has no labels
	lists := []struct {
		to   *[]string
		args []string
	}{
		{&o.Containers, []string{"ps", "-a", "--filter", label, "--format", "{{.Names}}"}},
		{&stored, []string{"ps", "-a", "--external", "--format", "{{.Names}} {{.Status}}"}},
		{&o.Networks, []string{"network", "ls", "--filter", label, "--format", "{{.Name}}"}},
		{&o.Volumes, []string{"volume", "ls", "--filter", label, "--format", "{{.Name}}"}},
		{&o.Images, []string{"images", "--format", "{{.Repository}}:{{.Tag}}"}},
	}
	for _, l := range lists {
		out, err := Listing(l.args...)
		if err != nil {
			return o, err
		}
		*l.to = strings.Fields(out)
		slices.Sort(*l.to)
	}
	for i, word := range stored {
		if word == "Storage" && strings.HasPrefix(stored[i-1], name+"-") {
			o.Containers = append(o.Containers, stored[i-1])
		}
	}
	slices.Sort(o.Containers)
	o.Images = slices.DeleteFunc(o.Images, func(ref string) bool { return !strings.HasPrefix(ref, "localhost/"+name+"/") })
	return o, nil
}

// Listing runs Podman, and asks again where Podman fails over an object that another test has just
// removed: it looks at each after it has listed them all.
func Listing(args ...string) (out string, err error) {
	for range 20 {
		if out, err = Podman(args...); err == nil {
			break
		}
	}
	return out, err
}

func (o Objects) String() string {
	return fmt.Sprintf("containers %v, networks %v, volumes %v, images %v", o.Containers, o.Networks, o.Volumes, o.Images)
}

// removeObjects removes all of the installation in dir from Podman and the firewall.
func removeObjects(name, dir string) error {
	o, err := objects(name)
	if err != nil {
		return err
	}
	errs := []error{forgetRules(name, dir, o.Networks)}
	remove := func(list []string, args ...string) {
		if len(list) > 0 {
			_, err := Podman(append(args, list...)...)
			errs = append(errs, err)
		}
	}
	remove(o.Containers, "rm", "-f", "-t", "0", "-v")
	remove(o.Networks, "network", "rm", "-f")
	remove(o.Volumes, "volume", "rm", "-f")
	remove(o.Images, "rmi")
	return errors.Join(errs...)
}

// Podman runs podman and returns what it printed. While Podman still cleans up after
// what has just ended, a removal may find a mount busy: it is tried again.
func Podman(args ...string) (out string, err error) {
	for range 20 {
		if out, err = podman(args...); err == nil || !strings.Contains(err.Error(), "resource busy") {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	return out, err
}

func podman(args ...string) (string, error) {
	cmd := exec.Command("podman", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("podman %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}
