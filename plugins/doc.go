// Package plugins is the contract between Towline and the services it can add: a
// folder with a plugin.toml that describes a service. A manifest is data; the daemon
// does what it says. See docs/plugins.md.
//
// From folder to service:
//
//	Load(dirs ...string) (*Catalog, error)               what loads, and what is wrong with the others
//	(*Catalog).Service(name string) (*Manifest, bool)
//	(*Catalog).Names() []string
//	(*Catalog).Reload() error
//	LoadFile(path string) (*Manifest, error)             one manifest, every fault with file and line
//	(*Manifest).NewSecrets() map[string]string           for a new add-on; to be stored sealed
//	(*Manifest).Rotated(secrets) map[string]string       new passwords and user names, the same certificates
//	(*Manifest).Render(Instance) (Spec, error)           everything to run one add-on
//	(Spec).Vars(prefix string) []Var                     config vars of one app, in the manifest's order
//	Install, Uninstall, Fetch, (*Catalog).Try            plugins of third parties
//
// What runs a Spec owes it this. Files are written below a directory that only root
// may enter, with the mode and owner that they ask for, since they may hold secrets,
// and are mounted read-only at their paths; after a rotation they are written in place,
// for the next start. The Probe is run in the container until it exits with 0: it may
// wait by itself, so a run of it ends no later than at the Deadline, and the Interval
// lies between two runs. An Action is run in the service's container with its Env,
// which no command line may show. A Transfer that is Stopped is run in place of the
// service: the same image, mounts and environment, with its command as the entry point.
// Rotate is rendered with Instance.Next set; once Rotate has succeeded and the
// apps have the new secrets, Retire is run, rendered the same way.
package plugins
