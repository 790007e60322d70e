package store

import (
	"slices"
	"strings"

	"towline/daemon"
)

func readPipeline(_ *tx, scan scanner) (p daemon.Pipeline, err error) {
	err = scan(&p.Name, at(&p.Created), &p.Owner)
	return p, err
}

func (t pipelineTx) Pipelines() ([]daemon.Pipeline, error) {
	return list(t.tx, readPipeline, "SELECT name, created, owner FROM pipelines ORDER BY name")
}

func (t pipelineTx) Pipeline(name string) (daemon.Pipeline, error) {
	return one(t.tx, daemon.NoPipeline(name), readPipeline, "SELECT name, created, owner FROM pipelines WHERE name = ?", name)
}

func (t pipelineTx) InsertPipeline(p daemon.Pipeline) error {
	return t.insert(daemon.Errorf(daemon.Exists, "there is a pipeline %q already", p.Name).WithHint("choose another name"),
		"INSERT INTO pipelines (name, created, owner) VALUES (?, ?, ?)", p.Name, at(&p.Created), p.Owner)
}

func (t pipelineTx) RenamePipeline(name, to string) error {
	// References are checked as the transaction ends, and for it alone.
	if _, err := t.conn.ExecContext(t.ctx, "PRAGMA defer_foreign_keys = 1"); err != nil {
		return failed(err)
	}
	if err := t.exists(daemon.NoPipeline(name), "SELECT 1 FROM pipelines WHERE name = ?", name); err != nil {
		return err
	}
	_, err := t.conn.ExecContext(t.ctx, "UPDATE pipelines SET name = ? WHERE name = ?", to, name)
	if duplicate(err) {
		return daemon.Errorf(daemon.Exists, "there is a pipeline %q already", to).WithHint("choose another name")
	}
	for _, table := range []string{"couplings", "pipeline_access"} {
		if err == nil {
			_, err = t.conn.ExecContext(t.ctx, "UPDATE "+table+" SET pipeline = ? WHERE pipeline = ?", to, name)
		}
	}
	return failed(err)
}

func (t pipelineTx) DeletePipeline(name string) error {
	return t.change(daemon.NoPipeline(name), "DELETE FROM pipelines WHERE name = ?", name)
}

func readCoupling(_ *tx, scan scanner) (c daemon.Coupling, err error) {
	err = scan(&c.App, &c.Pipeline, &c.Stage)
	return c, err
}

func (t pipelineTx) Couplings(pipeline string) ([]daemon.Coupling, error) {
	all, err := list(t.tx, readCoupling, "SELECT app, pipeline, stage FROM couplings WHERE ? IN ('', pipeline)", pipeline)
	slices.SortFunc(all, func(a, b daemon.Coupling) int {
		if n := slices.Index(daemon.Stages, a.Stage) - slices.Index(daemon.Stages, b.Stage); n != 0 {
			return n
		}
		return strings.Compare(a.App, b.App)
	})
	return all, err
}

func (t pipelineTx) PutCoupling(c daemon.Coupling) error {
	if err := t.appExists(c.App); err != nil {
		return err
	}
	if err := t.exists(daemon.NoPipeline(c.Pipeline), "SELECT 1 FROM pipelines WHERE name = ?", c.Pipeline); err != nil {
		return err
	}
	return t.insert(nil, "INSERT OR REPLACE INTO couplings (app, pipeline, stage) VALUES (?, ?, ?)", c.App, c.Pipeline, c.Stage)
}

func (t pipelineTx) DeleteCoupling(app string) error {
	return t.change(daemon.Errorf(daemon.NotFound, "%s is in no pipeline", app), "DELETE FROM couplings WHERE app = ?", app)
}

func readPipelineAccess(_ *tx, scan scanner) (a daemon.PipelineAccess, err error) {
	err = scan(&a.Pipeline, &a.Member, &a.Stage, doc(&a.Permissions))
	return a, err
}

// PipelineAccess comes by member, for all stages before one of them.
func (t pipelineTx) PipelineAccess(pipeline string) ([]daemon.PipelineAccess, error) {
	return list(t.tx, readPipelineAccess, "SELECT pipeline, member, stage, permissions FROM pipeline_access WHERE pipeline = ? ORDER BY member, stage", pipeline)
}

func (t pipelineTx) AccessByPipeline(app string) ([]daemon.PipelineAccess, error) {
	return list(t.tx, readPipelineAccess, `SELECT a.pipeline, a.member, a.stage, a.permissions
		FROM couplings AS c JOIN pipeline_access AS a ON a.pipeline = c.pipeline AND a.stage IN ('', c.stage)
		WHERE c.app = ? ORDER BY a.member, a.stage`, app)
}

func (t pipelineTx) PutPipelineAccess(a daemon.PipelineAccess) error {
	if err := t.exists(daemon.NoPipeline(a.Pipeline), "SELECT 1 FROM pipelines WHERE name = ?", a.Pipeline); err != nil {
		return err
	}
	if err := t.memberExists(a.Member); err != nil {
		return err
	}
	return t.insert(nil, "INSERT OR REPLACE INTO pipeline_access (pipeline, member, stage, permissions) VALUES (?, ?, ?, ?)", a.Pipeline, a.Member, a.Stage, doc(a.Permissions))
}

func (t pipelineTx) DeletePipelineAccess(pipeline, member string, stage daemon.Stage) error {
	return t.change(daemon.Errorf(daemon.NotFound, "member %q has no access by the pipeline %s", member, pipeline),
		"DELETE FROM pipeline_access WHERE pipeline = ? AND member = ? AND stage = ?", pipeline, member, stage)
}
