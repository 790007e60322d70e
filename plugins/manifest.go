package plugins

import (
	"path/filepath"
	"time"
)

// FileName is what a plugin's folder holds.
const FileName = "plugin.toml"

// Manifest is a plugin.toml. Values marked as templates are rendered by text/template
// over an Instance; see Render.
type Manifest struct {
	Name           string              `toml:"name"`  // of the service, as users type it
	Title          string              `toml:"title"` // for people
	DefaultVersion string              `toml:"default_version"`
	DefaultPlan    string              `toml:"default_plan"`
	Versions       []Version           `toml:"versions"`
	Plans          []Plan              `toml:"plans"`
	Volumes        []Volume            `toml:"volumes"`
	Ports          []Port              `toml:"ports"`
	Secrets        []Secret            `toml:"secrets"`
	Certificates   []Certificate       `toml:"certificates"`
	Env            map[string]string   `toml:"env"`        // templates
	Entrypoint     []string            `toml:"entrypoint"` // templates
	Command        []string            `toml:"command"`    // templates
	User           string              `toml:"user"`
	Files          []FileTemplate      `toml:"files"`
	Probe          ProbeTemplate       `toml:"probe"`
	Vars           []VarTemplate       `toml:"vars"`
	Snapshot       Action              `toml:"snapshot"` // before the volumes are frozen
	Thawed         Action              `toml:"thawed"`   // after that, always
	Verify         Action              `toml:"verify"`   // prints facts, one a line
	Sample         Action              `toml:"sample"`   // writes what verify counts; for plugins:check
	Export         Transfer            `toml:"export"`
	Import         Transfer            `toml:"import"`
	Console        Action              `toml:"console"`
	Rotate         Action              `toml:"rotate"` // the service takes .New from now on, and .Old still where it can
	Retire         Action              `toml:"retire"` // the service takes .Old no longer; no app uses it any more
	Web            Web                 `toml:"web"`
	Upgrades       map[string][]string `toml:"upgrades"` // version -> versions it can become, data kept
	LogHints       []LogHint           `toml:"log_hints"`

	path string // of plugin.toml
	text string
}

// Version is one that can be run.
type Version struct {
	Name  string `toml:"name"`
	Image string `toml:"image"` // with a tag
	// Env is added to the manifest's own for this version. Templates.
	Env map[string]string `toml:"env"`
}

// Plan is a size.
type Plan struct {
	Name     string            `toml:"name"`
	Memory   string            `toml:"memory"` // like "512m"
	CPU      float64           `toml:"cpu"`    // processors; 0: no limit
	Settings map[string]string `toml:"settings"`
}

// Volume holds data that outlives the container.
type Volume struct {
	Name string `toml:"name"`
	Path string `toml:"path"` // in the container
}

// Port is one the service listens on.
type Port struct {
	Name string `toml:"name"`
	Port int    `toml:"port"`
}

// Secret is generated once for each add-on.
type Secret struct {
	Name string `toml:"name"`
	Bits int    `toml:"bits"` // at least 128, the default 192
	// First is the value until the first rotation, for user names. Empty: random.
	First string `toml:"first"`
}

// Certificate is a self-signed one, generated once for each add-on and given as the
// secrets NAME_cert and NAME_key, in PEM.
type Certificate struct {
	Name string `toml:"name"`
}

// FileTemplate is a file that the container finds at Path, read-only.
type FileTemplate struct {
	Path    string `toml:"path"`
	Mode    string `toml:"mode"` // octal; default 0444
	UID     int    `toml:"uid"`
	GID     int    `toml:"gid"`
	Content string `toml:"content"` // template
}

// ProbeTemplate tells when the service is ready, in one way of three: a command that
// succeeds in the container, a port that takes connections, or a page that answers.
// It is repeated until it does. A command that waits by itself is cheaper, as every
// start of one in a container costs.
type ProbeTemplate struct {
	Action
	TCP      string    `toml:"tcp"` // name of a port
	HTTP     HTTPProbe `toml:"http"`
	Interval duration  `toml:"interval"` // default 100ms; of tcp and http 50ms
	Deadline duration  `toml:"deadline"` // default 60s
}

// HTTPProbe is a page that tells that the service is ready.
type HTTPProbe struct {
	Port   string `toml:"port"`   // name of a port
	Path   string `toml:"path"`   // default /
	Status int    `toml:"status"` // that it answers with; default 200
}

// LogHint explains lines of the service's log to people.
type LogHint struct {
	Match string `toml:"match"` // a regular expression (RE2) for a part of the line
	Say   string `toml:"say"`   // what it means, and what to do
}

// VarTemplate is a config var that an app gets.
type VarTemplate struct {
	Name   string `toml:"name"`   // of the first add-on of a kind
	Suffix string `toml:"suffix"` // after a prefix that the user chose
	Value  string `toml:"value"`  // template
}

// Action is a command run in the container. Secrets belong in Env: a command line can
// be seen by every process of the host.
type Action struct {
	Command []string          `toml:"command"` // templates
	Env     map[string]string `toml:"env"`     // templates
}

// Transfer moves the data as a portable file: over the standard output or input of a
// command.
type Transfer struct {
	Action
	// Stopped: the command runs in a container of the same image and volumes while
	// the service does not run.
	Stopped bool   `toml:"stopped"`
	File    string `toml:"file"` // name for downloads, like "neo4j.dump"
}

// Web is a page of the service's own.
type Web struct {
	Port string `toml:"port"` // name of a port
	// Path of the page. "{host}" in it becomes the host name and port that it is served at.
	Path string `toml:"path"`
	// WebSocket names the port that the page's WebSockets lead to. Empty: Port.
	WebSocket string `toml:"websocket"`
}

type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// Dir is the folder that the manifest was read from.
func (m *Manifest) Dir() string { return filepath.Dir(m.path) }

// VersionNames lists the versions, as the manifest orders them.
func (m *Manifest) VersionNames() []string {
	var names []string
	for _, v := range m.Versions {
		names = append(names, v.Name)
	}
	return names
}

// PlanNames lists the plans, as the manifest orders them.
func (m *Manifest) PlanNames() []string {
	var names []string
	for _, p := range m.Plans {
		names = append(names, p.Name)
	}
	return names
}

// Plan returns the plan of a name.
func (m *Manifest) Plan(name string) (Plan, bool) {
	for _, p := range m.Plans {
		if p.Name == name {
			return p, true
		}
	}
	return Plan{}, false
}

func (m *Manifest) version(name string) (Version, bool) {
	for _, v := range m.Versions {
		if v.Name == name {
			return v, true
		}
	}
	return Version{}, false
}
