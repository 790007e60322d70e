package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/people"
)

// pipelineBench has the pipeline safetow, of ada's: shop-staging in staging, shop in production; and
// the members ada, bob and carol.
func pipelineBench(t *testing.T) *bench {
	b := newBench(t)
	for _, m := range []string{"ada", "bob", "carol"} {
		b.member(m)
	}
	for _, line := range []string{"apps:create shop-staging", "apps:create shop", "pipelines:create safetow -a shop-staging", "pipelines:add safetow -a shop --stage production"} {
		b.as(0, "ada", line)
	}
	return b
}

// as runs a member's command line, and fails the test unless it ends with code.
func (b *bench) as(code int, member, line string) result {
	b.t.Helper()
	r := b.ask(Request{Member: member, App: "checkout", Args: strings.Fields(line)})
	if r.code != code {
		b.t.Fatalf("%s by %s ended with %d, want %d: %s%s", line, member, r.code, code, r.out, r.errors)
	}
	return r
}

// TestAccessByPipeline: a team comes to a pipeline, and each command says who may do what by it.
func TestAccessByPipeline(t *testing.T) {
	b := pipelineBench(t)
	b.as(3, "bob", "ps -a shop-staging")
	r := b.as(0, "ada", "access:add bob --pipeline safetow --stage staging -p deploy")
	want(t, r.out, "bob may view,deploy the apps of the pipeline safetow in staging, and those that come later\n", "bob may now view,deploy shop-staging\n")
	b.as(0, "ada", "access:add carol --pipeline safetow -p view")
	b.as(0, "ada", "access:add bob -a shop-staging -p operate")
	want(t, b.as(0, "bob", "access -a shop-staging").out, "MEMBER  PERMISSIONS                 FROM\n", "ada     view,deploy,operate,manage  the app\n",
		"bob     view,operate                the app\n", "bob     view,deploy                 pipeline safetow, staging\n", "carol   view                        pipeline safetow\n")
	var list []people.Rights
	if err := json.Unmarshal([]byte(b.as(0, "bob", "access -a shop-staging --json").out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[1].Member != "bob" || people.JoinPermissions(list[1].Permissions) != "view,deploy,operate" || len(list[1].From) != 2 || list[1].From[1].Stage != daemon.StageStaging {
		t.Errorf("%+v", list)
	}
	want(t, b.as(0, "ada", "access --pipeline safetow").out, "MEMBER  PERMISSIONS  STAGE\n", "bob     view,deploy  staging\n", "carol   view         all\n")
	want(t, b.as(0, "carol", "pipelines:info safetow").out, "production  shop ", "bob     view,deploy  staging\n")
	want(t, b.as(0, "bob", "pipelines:info safetow").out, "and 1 that you may not view", "carol   view         all\n")
	want(t, b.as(0, "ada", "apps:info -a shop-staging").out, "bob", "view,deploy,operate")

	// Promoting needs deploy on both sides.
	b.as(4, "bob", "pipelines:promote -a shop-staging") // to one that he may not view
	want(t, b.as(4, "carol", "pipelines:promote -a shop-staging").errors, "you may not deploy shop-staging")
	b.as(0, "ada", "access:add bob --pipeline safetow --stage production -p view")
	want(t, b.as(4, "bob", "pipelines:promote -a shop-staging").errors, "you may not deploy shop\n")
	b.as(0, "ada", "access:update bob --pipeline safetow --stage production -p deploy")
	want(t, b.as(6, "bob", "pipelines:promote -a shop-staging").errors, "deploy") // there is nothing to promote yet

	// Who comes, moves and goes with an app is said.
	b.as(0, "ada", "apps:create blog-staging")
	want(t, b.as(0, "ada", "pipelines:add safetow -a blog-staging").out, "blog-staging is in staging of the pipeline safetow\nbob may now view,deploy blog-staging\ncarol may now view blog-staging\n")
	want(t, b.as(0, "ada", "pipelines:update -a blog-staging --stage development").out, "bob may no longer view,deploy blog-staging\n")
	var removed struct {
		Access []people.Change `json:"access"`
	}
	if err := json.Unmarshal([]byte(b.as(0, "ada", "pipelines:remove -a blog-staging --json").out), &removed); err != nil || len(removed.Access) != 1 || removed.Access[0].Member != "carol" || len(removed.Access[0].Lost) != 1 {
		t.Errorf("%+v, %v", removed, err)
	}

	// What is taken in one way and stays in another is said.
	want(t, b.as(0, "ada", "access:remove bob -a shop-staging").out+b.as(6, "ada", "access:remove bob -a shop-staging").errors,
		"bob may now view,deploy shop-staging\n", "what bob may do with shop-staging comes from the pipeline safetow, staging", "towline access:remove bob --pipeline safetow --stage staging")
	r = b.as(0, "ada", "access:add bob -a shop-staging -p view")
	want(t, r.out+r.errors, "bob may now view,deploy shop-staging\n", "bob may view,deploy shop-staging by the pipeline safetow, staging")
	r = b.as(0, "ada", "access:remove bob --pipeline safetow --stage staging")
	want(t, r.out+r.errors, "bob may no longer deploy shop-staging\n", "bob may still view shop-staging: it comes from the app")
	want(t, b.as(3, "ada", "access:remove bob --pipeline safetow --stage staging").errors, "bob has no access to the apps in staging of the pipeline safetow")
	want(t, b.as(3, "ada", "access:update bob --pipeline safetow -p view").errors, "bob has no access to the apps of the pipeline safetow")
	r = b.as(2, "ada", "pipelines:destroy safetow")
	want(t, r.errors, "what it lets members do with them ends: towline access --pipeline safetow")
	want(t, b.as(0, "ada", "pipelines:destroy safetow --confirm safetow").out, "carol may no longer view shop\n", "bob may no longer view,deploy shop\n")
	b.as(3, "bob", "ps -a shop")

	// It is told to those who may see the app.
	var events []daemon.Activity
	for kind, n := range map[daemon.ActivityKind]int{daemon.AccessAdded: 3, daemon.AccessRemoved: 2} { // carol, bob, more for bob; the end
		if err := json.Unmarshal([]byte(b.as(0, "ada", "activity -a shop --json --kind "+string(kind)).out), &events); err != nil || len(events) != n {
			t.Errorf("%d events: %+v, %v", len(events), events, err)
		}
	}
}

// TestNobodyRisesByAPipeline: whoever owns a pipeline has no right on apps in it by that, and can give
// none; and who has rights by it gives no other any beyond them.
func TestNobodyRisesByAPipeline(t *testing.T) {
	b := pipelineBench(t)
	b.member("eve")
	b.as(0, "eve", "pipelines:create trap")
	for _, line := range []string{"access:add eve --pipeline trap -p manage", "access:add eve --pipeline trap --stage review -p manage"} {
		b.as(0, "eve", line) // of nothing
	}
	b.as(3, "eve", "pipelines:add trap -a shop --stage review")
	b.as(3, "ada", "pipelines:add trap -a shop --stage review")
	b.as(0, "ada", "access:add eve --pipeline safetow --stage staging -p manage")
	for _, line := range []string{
		"access:add eve --pipeline safetow -p manage", "access:add eve --pipeline safetow --stage production -p view", "access:add bob --pipeline safetow --stage staging -p view",
		"access:update eve --pipeline safetow --stage staging -p view", "access:remove eve --pipeline safetow --stage staging", "pipelines:update -a shop-staging --stage production",
		"pipelines:rename safetow mine", "pipelines:destroy safetow --confirm safetow",
	} {
		if r := b.as(4, "eve", line); strings.Contains(r.errors, `"shop"`) || strings.Contains(r.errors, "shop ") {
			t.Errorf("%s names an app that eve may not view: %s", line, r.errors)
		}
	}
	for _, line := range []string{"ps -a shop", "access -a shop", "access:add eve -a shop", "pipelines:remove -a shop"} {
		b.as(3, "eve", line)
	}
	// She may take out what she manages, and has nothing of it then.
	r := b.as(0, "eve", "pipelines:remove -a shop-staging")
	want(t, r.out, "eve may no longer view,manage shop-staging")
	b.as(3, "eve", "ps -a shop-staging")
	b.as(0, "ada", "pipelines:add safetow -a shop-staging")
	// Owning a pipeline is not enough, once its apps are others' alone.
	b.as(0, "ada", "access:add bob -a shop -p manage")
	b.as(0, "bob", "access:remove ada -a shop")
	for _, line := range []string{"access:add ada --pipeline safetow -p manage", "access:add ada --pipeline safetow --stage production -p view"} {
		want(t, b.as(4, "ada", line).errors, "this gives or takes access to 1 of the apps in safetow that you may not manage")
	}
	b.as(0, "ada", "access:add carol --pipeline safetow --stage staging -p view")
	b.as(0, "ada", "pipelines:destroy safetow --confirm safetow") // which takes nothing on bob's app
}

// TestWrongAccess: what is typed wrongly changes nothing, and says what to type.
func TestWrongAccess(t *testing.T) {
	b := pipelineBench(t)
	before := b.as(0, "ada", "access --pipeline safetow --json").out + b.as(0, "ada", "access -a shop --json").out
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		code       int
		line, says string
	}{
		{3, "access:add bob", "no app \"checkout\""},
		{2, "access:add bob --stage staging -a shop", "--stage is of a pipeline"},
		{2, "access:add bob --pipeline safetow -a shop", "about an app or a pipeline, and not both"},
		{2, "access --pipeline safetow -a shop", "about an app or a pipeline, and not both"},
		{2, "access:add bob --pipeline safetow --stage canary", "there is no stage \"canary\""},
		{2, "access:add bob --pipeline safetow --stage=", "there is no stage \"\""},
		{2, "access:add bob --pipeline safetow --stage staging,production", "there is no stage"},
		{2, "access:add bob --pipeline safetow -p fly", "there is no permission \"fly\""},
		{2, "access:add bob --pipeline safetow -p admin", "there is no permission \"admin\""},
		{2, "access:add bob --pipeline safetow -p view,", "there is no permission \"\""},
		{2, "access:update bob --pipeline safetow", "what may bob do?"},
		{2, "access:update bob -a shop", "what may bob do?"},
		{2, "access:add --pipeline safetow", "needs MEMBER"},
		{2, "access:add bob carol --pipeline safetow", "one argument too many"},
		{3, "access:add nosuch --pipeline safetow", "there is no member \"nosuch\""},
		{3, "access:add bob --pipeline nosuch", "there is no pipeline \"nosuch\""},
		{3, "access:add bob --pipeline=", "there is no pipeline \"\""},
		{3, "access --pipeline=", "there is no pipeline \"\""},
		{3, "access --pipeline ../safetow", "there is no pipeline"},
		{3, "access:add bob --pipeline " + long, "there is no pipeline"},
		{3, "access:add " + long + " --pipeline safetow", "there is no member"},
		{2, "access:add bob --pipeline safetow -p " + long, "there is no permission"},
		{2, "access:add bob --pipeline safetow --stage " + long, "there is no stage"},
		{3, "access:remove bob --pipeline safetow", "bob has no access"},
		{3, "access:remove bob -a shop", "bob has no access to shop"},
		{3, "access:update bob -a shop -p view", "bob has no access to shop"},
	} {
		r := b.ask(Request{Member: "ada", App: "checkout", Args: strings.Fields(c.line)})
		if r.code != c.code || !strings.Contains(r.errors, c.says) || len(r.errors) > 1000 || r.out != "" {
			t.Errorf("%.100s: %d, %.300s%s", c.line, r.code, r.errors, r.out)
		}
	}
	if after := b.as(0, "ada", "access --pipeline safetow --json").out + b.as(0, "ada", "access -a shop --json").out; after != before {
		t.Errorf("%s\nwas\n%s", after, before)
	}
	// Each permission counts once, and view is among them.
	b.as(0, "ada", "access:add bob --pipeline safetow -p deploy,deploy,deploy")
	want(t, b.as(0, "ada", "access --pipeline safetow").out, "bob     view,deploy  all\n")
}

// TestRightsByOneStage: by a stage a member has its apps, and nothing of the others.
func TestRightsByOneStage(t *testing.T) {
	table, reached := newTable(t)
	if err := table.People.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return errors.Join(tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageStaging, Member: "none",
			Permissions: []daemon.Permission{daemon.View, daemon.Deploy, daemon.Operate, daemon.Manage}}))
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range rights {
		if r.least == "none" || r.least == "admin" || r.least == "self" {
			continue
		}
		// The pipeline's own commands, and those on live, want more.
		may := r.line == "pipelines:info safetow" || r.line == "access --pipeline safetow" || r.line == "pipelines:remove -a shop" || r.line == "pipelines:create fresh -a shop --stage staging" ||
			!strings.Contains(r.line, "pipeline")
		var out bytes.Buffer
		*reached = ""
		if code := table.Run(t.Context(), request("none", strings.Fields(r.line), &out)); may != (code == 0) || may != (*reached != "") {
			t.Errorf("%s: %d %s", r.line, code, &out)
		}
	}
}
