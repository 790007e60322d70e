// Package handles lets an app be renamed in one transaction. Whatever an app has outside of the
// store, its containers, network, images, repository, log and route, is called by the app's
// handle, which is its first name and never changes. The rooms know names alone; the neighbours
// that Handles returns in the place of others are asked by name, and ask those by handle.
package handles

import (
	"strconv"
	"sync"

	"towline/daemon"
)

// Handles are those of all apps. New makes one; it is safe for any number of goroutines.
type Handles struct {
	mu     sync.RWMutex
	handle map[string]string // by name
	name   map[string]string // by handle
}

// New knows no app.
func New() *Handles {
	return &Handles{handle: map[string]string{}, name: map[string]string{}}
}

// Load forgets what it knew and takes the apps of the state.
func (h *Handles) Load(apps []daemon.App) {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.handle)
	clear(h.name)
	for _, a := range apps {
		h.handle[a.Name], h.name[a.Handle] = a.Handle, a.Name
	}
}

// nobodys is put before the name of an app that there is not, where an app has that name as
// its handle; and before a handle of no app that is the name of one. Neither begins with it.
const nobodys = "-"

// Of is the handle of the app of that name. An app that is not known has its name.
func (h *Handles) Of(app string) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return translate(h.handle, h.name, app)
}

// App is the name of the app that has the handle.
func (h *Handles) App(handle string) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return translate(h.name, h.handle, handle)
}

func translate(there, back map[string]string, word string) string {
	if to, ok := there[word]; ok {
		return to
	}
	if _, another := back[word]; another {
		return nobodys + word
	}
	return word
}

// Take gives an app that is about to be made its handle: its name, or one like it where an app
// that was renamed has that. Taken before, it is the same.
func (h *Handles) Take(app string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if handle, ok := h.handle[app]; ok {
		return handle
	}
	handle := app
	for n := 2; ; n++ {
		if _, taken := h.name[handle]; !taken {
			break
		}
		handle = app + "-" + strconv.Itoa(n)
	}
	h.handle[app], h.name[handle] = handle, app
	return handle
}

// Drop forgets an app that is gone, or was not made.
func (h *Handles) Drop(app string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.name, h.handle[app])
	delete(h.handle, app)
}

// Rename has an app's handle belong to its new name.
func (h *Handles) Rename(app, to string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	handle, ok := h.handle[app]
	if !ok {
		handle = app
	}
	delete(h.handle, app)
	h.handle[to], h.name[handle] = handle, to
}
