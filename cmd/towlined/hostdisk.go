package main

import (
	"cmp"
	"context"
	"path/filepath"
	"strings"

	"towline/daemon"
	"towline/daemon/disk"
)

// disk measures what everybody holds. Images are counted by what they share with no other:
// the rest is of the bases that several stand upon.
func (h *host) disk(ctx context.Context) (disk.Report, error) {
	places, names, err := h.places(ctx)
	if err != nil {
		return disk.Report{}, err
	}
	images, err := h.images(ctx, names)
	if err != nil {
		return disk.Report{}, err
	}
	r, err := disk.Measure(ctx, append(places, images...))
	if err != nil {
		return r, err
	}
	if r.Free, err = disk.Free(h.file.State); err != nil {
		return r, err
	}
	r.Reserve, err = h.file.DiskReserve(h.file.State)
	return r, err
}

// addonLabel is that of everything that an add-on has in Podman.
const addonLabel = "towline.addon"

// Who holds something.
const (
	ofApp     = "app"
	ofAddon   = "add-on"
	ofMachine = "machine"
)

// places are all directories that count, and names those of the apps, by handle.
func (h *host) places(ctx context.Context) (places []disk.Place, names map[string]string, err error) {
	add := func(of, name, part, dir string) {
		places = append(places, disk.Place{Of: of, Name: name, Part: part, Dir: dir})
	}
	var apps []daemon.App
	var addons []daemon.Addon
	var backups []daemon.Backup
	err = h.daemon.Store.View(ctx, func(tx daemon.Tx) (err error) {
		if apps, err = tx.Apps(); err != nil {
			return err
		}
		if addons, err = tx.Addons(); err != nil {
			return err
		}
		backups, err = tx.Backups("")
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	names = map[string]string{}
	for _, a := range apps {
		names[a.Handle] = a.Name
		add(ofApp, a.Name, "repository", h.state("git/"+a.Handle+".git"))
		add(ofApp, a.Name, "logs", h.state("logs/"+a.Handle))
		add(ofApp, a.Name, "build cache", h.state("build/apps/"+a.Handle))
		if h.file.Proxy.AccessLog != "" {
			add(ofApp, a.Name, "logs", filepath.Join(h.file.Proxy.AccessLog, a.Handle+".log"))
		}
	}
	there := map[string]bool{}
	for _, a := range addons {
		there[a.Name] = true
		add(ofAddon, a.Name, "logs", h.state("logs/+"+a.Name))
	}
	for _, b := range backups {
		part := "backups"
		if !there[b.Addon] {
			part = "backups of what was destroyed"
		}
		add(ofAddon, b.Addon, part, h.state("backups/"+b.ID))
	}
	volumes, err := h.engine.Volumes(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range volumes {
		path, err := h.engine.VolumePath(ctx, v.Name)
		if err != nil {
			continue // gone meanwhile
		}
		if addon := v.Labels[addonLabel]; addon != "" {
			add(ofAddon, addon, "volumes", path)
		}
	}
	add(ofMachine, "database", "database", h.state("towline.db"))
	add(ofMachine, "database", "database", h.state("towline.db-wal"))
	add(ofMachine, "bases of builds", "build cache", h.state("build/bases"))
	add(ofMachine, "images under way", "build cache", h.state("build/registry"))
	add(ofMachine, "host backups", "backups", h.state("host-backups"))
	add(ofMachine, "certificates", "certificates", h.file.Proxy.State)
	return places, names, nil
}

// images are the apps' own, and those of everybody.
func (h *host) images(ctx context.Context, names map[string]string) (places []disk.Place, err error) {
	list, err := h.engine.ImageSizes(ctx)
	prefix := "localhost/" + h.file.Name + "/"
	for _, i := range list {
		p := disk.Place{Of: ofMachine, Name: "images of add-ons and bases", Part: "images", Bytes: i.Own}
		if handle, ok := strings.CutPrefix(i.Repository, prefix); ok {
			p.Of, p.Name = ofApp, cmp.Or(names[handle], handle)
		}
		places = append(places, p)
	}
	return places, err
}
