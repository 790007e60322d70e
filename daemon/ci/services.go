package ci

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/work"
	"towline/plugins"
)

// service is a throwaway add-on that a run has.
type service struct {
	node int // that it is for; -1: all
	vars []plugins.Var
}

// labels are those of everything that a run is of.
func (t *testRun) labels() map[string]string {
	return map[string]string{daemon.LabelApp: t.App, daemon.LabelTest: t.ID, daemon.LabelKind: daemon.KindTest, daemon.LabelAddon: ""}
}

// network is the run's own.
func (t *testRun) network() string { return t.Containers.TestName(t.ID, "") }

// startServices makes the run's network and its add-ons, and waits until each answers.
func (t *testRun) startServices(ctx context.Context) (list []service, err error) {
	if err := t.Engine.EnsureNetwork(ctx, t.network(), map[string]string{daemon.LabelApp: t.App, daemon.LabelTest: t.ID}); err != nil {
		return nil, err
	}
	names := map[string]int{}
	for _, throwaway := range t.plan.addons {
		nodes := []int{-1}
		if throwaway.PerNode {
			nodes = nil
			for i := range t.plan.nodes {
				nodes = append(nodes, i)
			}
		}
		for _, node := range nodes {
			host := throwaway.Service()
			if names[host]++; names[host] > 1 {
				host = fmt.Sprintf("%s-%d", host, names[host])
			}
			s, err := t.startService(ctx, throwaway, host)
			if err != nil {
				return nil, daemon.Errorf(daemon.Failed, "the add-on %s: %w", throwaway.Service(), err).WithHint("%s", hintOf(err))
			}
			s.node = node
			list = append(list, s)
		}
	}
	return list, nil
}

func (t *testRun) startService(ctx context.Context, throwaway addons.Throwaway, host string) (s service, err error) {
	a, spec, vars, err := throwaway.New(host)
	if err != nil {
		return s, err
	}
	s.vars = vars
	hide := map[string]string{}
	for _, v := range vars {
		hide[v.Name] = v.Value
	}
	for name, value := range a.Secrets {
		hide[strings.ToUpper(a.Service+"_"+name)] = value
	}
	t.out.hide(hide)
	work.Stage(t.out, "Creating %s (%s %s), with its data in memory", host, a.Service, a.Version)
	if _, err := t.Engine.EnsureImage(ctx, spec.Image, t.out); err != nil {
		return s, err
	}
	files := filepath.Join(work.Dir(t.Dir, t.ID), "addons", host)
	if err := addons.WriteFiles(files, spec); err != nil {
		return s, err
	}
	c := t.Services.ThrowawaySpec(a, spec, t.Containers.TestName(t.ID, host), t.network(), files, t.labels())
	if err := t.Containers.Create(ctx, c); err != nil {
		return s, err
	}
	if err := t.Engine.StartContainer(ctx, c.Name); err != nil {
		return s, err
	}
	return s, t.Services.AwaitService(ctx, c.Name, spec)
}

func hintOf(err error) string {
	var e *daemon.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
