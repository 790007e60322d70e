package daemon

// Labels of the containers that Towline makes, next to the installation's own.
const (
	labelApp       = "towline.app"
	labelAddon     = "towline.addon"
	labelKind      = "towline.kind" // one of the kinds below
	labelProcess   = "towline.process"
	labelIndex     = "towline.index"
	labelRelease   = "towline.release"
	labelOperation = "towline.operation" // that created it
	labelIDs       = "towline.ids"       // where its user ids begin on the host

	kindProcess = "process" // one of the formation
	kindRun     = "run"     // a one-off
	kindRelease = "release" // a release phase
	kindAddon   = "addon"
	kindProof   = "proof" // a throwaway that proves a backup
)

// OnlyAnswers tells, by its labels, of a container that is in networks of several apps and
// must not lead from one to another: it answers there and begins no connection.
func OnlyAnswers(labels map[string]string) bool { return labels[labelKind] == kindAddon }
