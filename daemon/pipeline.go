package daemon

import (
	"slices"
	"time"
)

// Pipeline is a line of apps that a build is promoted along, as on Heroku.
type Pipeline struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Owner   string    `json:"owner"`
}

// Coupling is an app's place in a pipeline. An app has one at most.
type Coupling struct {
	App      string `json:"app"`
	Pipeline string `json:"pipeline"`
	Stage    Stage  `json:"stage"`
}

// PipelineAccess is what a member may do with the apps of a pipeline, with those that come later
// too.
type PipelineAccess struct {
	Pipeline    string       `json:"pipeline"`
	Stage       Stage        `json:"stage,omitempty"` // that it reaches; empty: all
	Member      string       `json:"member"`
	Permissions []Permission `json:"permissions"`
}

// Reaches tells whether it is for apps of a stage.
func (a PipelineAccess) Reaches(s Stage) bool { return a.Stage == "" || a.Stage == s }

// Stage is a part of a pipeline, in which there may be several apps.
type Stage string

// The stages, as on Heroku.
const (
	StageReview      Stage = "review"
	StageDevelopment Stage = "development"
	StageStaging     Stage = "staging"
	StageProduction  Stage = "production"
)

// Stages are all of them, in their order.
var Stages = []Stage{StageReview, StageDevelopment, StageStaging, StageProduction}

// Next is the stage that a build is promoted to from this one; empty if there is none.
func (s Stage) Next() Stage {
	i := slices.Index(Stages, s)
	if s == StageReview || i < 0 || i+1 == len(Stages) {
		return ""
	}
	return Stages[i+1]
}

// CheckPipelineStage tells whether there is such a stage.
func CheckPipelineStage(s Stage) error {
	if slices.Contains(Stages, s) {
		return nil
	}
	return Errorf(Invalid, "there is no stage %q", Clip(string(s))).WithHint("use review, development, staging or production")
}

// CheckPipelineName tells whether name can be that of a pipeline.
func CheckPipelineName(name string) error {
	if !appName.MatchString(name) || len(name) > maxAppName {
		return Errorf(Invalid, "pipeline name %q is not allowed", Clip(name)).
			WithHint("use lower-case letters, digits and dashes, beginning with a letter, at most %d, like %q", maxAppName, suggestName(name))
	}
	return nil
}

// NoPipeline is the error of a pipeline that is not there, or that who asks may not see.
func NoPipeline(name string) error {
	return Errorf(NotFound, "there is no pipeline %q", Clip(name)).
		WithHint("towline pipelines lists them; towline pipelines:create NAME makes one")
}

// Origin is the release of another app whose image a release has.
type Origin struct {
	App     string `json:"app"`
	Version int    `json:"version"`
}

// PipelineTx has the pipelines.
type PipelineTx interface {
	Pipelines() ([]Pipeline, error) // by name
	Pipeline(name string) (Pipeline, error)
	InsertPipeline(Pipeline) error
	RenamePipeline(name, to string) error // with its couplings and access
	DeletePipeline(name string) error     // with its couplings and access

	Couplings(pipeline string) ([]Coupling, error) // by stage, then app; pipeline "" for all
	PutCoupling(Coupling) error                    // one for each app
	DeleteCoupling(app string) error

	PipelineAccess(pipeline string) ([]PipelineAccess, error)
	// AccessByPipeline is what reaches an app by its pipeline, in the stage that it is in.
	AccessByPipeline(app string) ([]PipelineAccess, error)
	PutPipelineAccess(PipelineAccess) error // one for each pipeline, member and stage
	DeletePipelineAccess(pipeline, member string, stage Stage) error
}
