package addons

import (
	"context"
	"maps"
	"slices"
	"strings"

	"towline/daemon"
	"towline/plugins"
)

// maxAliases bounds the aliases of one attachment: each is a config var with a value of its own.
const maxAliases = 20

// planVars checks what an attachment sets in its app, and completes it with the names. Those that it
// has are its own already.
func (b *base) planVars(ctx context.Context, app daemon.App, spec plugins.Spec, at daemon.AddonAttachment) (_ daemon.AddonAttachment, err error) {
	if at.Prefix, err = checkPrefix(at.Prefix); err != nil {
		return at, err
	}
	if err := checkAliases(spec.Vars(at.Prefix), at.Aliases); err != nil {
		return at, err
	}
	has := at.Vars
	at.Vars = nil
	for _, v := range varsOf(spec, at) {
		at.Vars = append(at.Vars, v.Name)
		if _, taken := app.Config[v.Name]; taken && !slices.Contains(has, v.Name) {
			return at, b.varTaken(ctx, at, v.Name)
		}
	}
	return at, nil
}

func checkPrefix(prefix string) (string, error) {
	if prefix == "" {
		return "", nil
	}
	if err := daemon.CheckConfigKey(strings.ToUpper(prefix)); err != nil {
		return "", daemon.Errorf(daemon.Invalid, "%q can't begin config vars", daemon.Clip(prefix)).WithHint("use letters, digits and underscores, like CACHE")
	}
	return strings.ToUpper(prefix), nil
}

// checkAliases checks second names of an add-on's config vars.
func checkAliases(vars []plugins.Var, aliases map[string]string) error {
	if len(aliases) > maxAliases {
		return daemon.Errorf(daemon.Invalid, "%d aliases; an attachment has at most %d", len(aliases), maxAliases)
	}
	var names []string
	for _, v := range vars {
		names = append(names, v.Name)
	}
	for _, alias := range daemon.SortedKeys(aliases) {
		of := aliases[alias]
		if err := daemon.CheckConfigKey(alias); err != nil {
			return err
		}
		switch {
		case alias == "PORT":
			return daemon.Errorf(daemon.Invalid, "PORT tells the app's processes where to listen, and can't be an alias").WithHint("choose another name")
		case slices.Contains(names, alias):
			return daemon.Errorf(daemon.Invalid, "%s is a config var of the add-on itself, and no alias", alias).WithHint("choose another name")
		case !slices.Contains(names, of):
			return daemon.Errorf(daemon.Invalid, "the add-on has no config var %q that %s could stand for", daemon.Clip(of), alias).
				WithHint("there are: %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// varsOf are the config vars that an attachment sets: those of the manifest, then its aliases. An
// alias of what a later version of the service has no more sets nothing.
func varsOf(spec plugins.Spec, at daemon.AddonAttachment) []plugins.Var {
	vars := spec.Vars(at.Prefix)
	value := map[string]string{}
	for _, v := range vars {
		value[v.Name] = v.Value
	}
	for _, alias := range daemon.SortedKeys(at.Aliases) {
		if value, ok := value[at.Aliases[alias]]; ok {
			vars = append(vars, plugins.Var{Name: alias, Value: value})
		}
	}
	return vars
}

// varTaken refuses an attachment whose config var the app has already.
func (b *base) varTaken(ctx context.Context, at daemon.AddonAttachment, name string) error {
	owner, err := b.Apps.AddonVars(ctx, at.App)
	if err != nil {
		return err
	}
	other := "give the add-on's config vars a prefix of their own, like --as CACHE"
	if at.Aliases[name] != "" {
		other = "choose another name for the alias"
	}
	if addon := owner[name]; addon != "" {
		return daemon.Errorf(daemon.Conflict, "%s has the config var %s of %s already", at.App, name, addon).WithHint("%s", other)
	}
	return daemon.Errorf(daemon.Conflict, "%s has a config var %s already", at.App, name).
		WithHint("%s; or towline config:unset %s -a %s", other, name, at.App)
}

func setVars(tx daemon.AppTx, name string, vars []plugins.Var) error {
	app, err := tx.App(name)
	if err != nil {
		return err
	}
	app.Config = maps.Clone(app.Config)
	if app.Config == nil {
		app.Config = map[string]string{}
	}
	for _, v := range vars {
		app.Config[v.Name] = v.Value
	}
	return tx.UpdateApp(app)
}
