package daemon

// Labels of the containers that Towline makes, next to the installation's own.
const (
	LabelApp          = "towline.app"
	LabelAddon        = "towline.addon"
	LabelKind         = "towline.kind" // one of the kinds below
	LabelProcess      = "towline.process"
	LabelIndex        = "towline.index"
	LabelRelease      = "towline.release"
	LabelOperation    = "towline.operation"    // that created it
	LabelPort         = "towline.port"         // where a web process is to listen
	LabelCapabilities = "towline.capabilities" // that it has; empty: none
	LabelIDs          = "towline.ids"          // where its user ids begin on the host
	LabelTest         = "towline.test"         // the test run that it belongs to, by its ID

	KindProcess = "process" // one of the formation
	KindRun     = "run"     // a one-off
	KindRelease = "release" // a release phase
	KindAddon   = "addon"
	KindProof   = "proof" // a throwaway that proves a backup
	KindTest    = "test"  // a node of a test run, or a throwaway add-on of one
)

// OnlyAnswers tells, by its labels, of a container that is in networks of several apps and
// must not lead from one to another: it answers there and begins no connection.
func OnlyAnswers(labels map[string]string) bool { return labels[LabelKind] == KindAddon }
