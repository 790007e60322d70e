package proxy

import (
	"strings"
	"sync/atomic"

	"towline/proxy/message"
)

// table leads hosts to services. It is a snapshot that is never changed: a
// change copies the root and the shards that it touches, and puts the new root
// in place in one step. So a request sees one whole table, a lookup takes no
// lock, and a change among 1,000 routes costs like one among 10.
type table struct {
	root atomic.Pointer[tableRoot]
}

const shards = 256

type tableRoot struct {
	shard     [shards]map[string]*service
	wildcards int
}

func newTable() *table {
	t := &table{}
	t.root.Store(&tableRoot{})
	return t
}

func shardOf(name string) int {
	h := uint32(2166136261)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return int((h ^ h>>16) % shards)
}

// find returns the service of a host, lower-case and without port: by its exact
// name, or by a wildcard for its first label. nil: nobody's.
func (t *table) find(name string) *service {
	root := t.root.Load()
	if s := root.shard[shardOf(name)][name]; s != nil || root.wildcards == 0 {
		return s
	}
	dot := strings.IndexByte(name, '.')
	if dot <= 0 {
		return nil
	}
	var memory [256]byte
	pattern := append(append(memory[:0], '*'), name[dot:]...)
	return root.shard[shardOf(message.Text(pattern))][message.Text(pattern)]
}

// routed tells whether exactly this host or pattern is routed, and to whom.
func (t *table) routed(host string) *service {
	return t.root.Load().shard[shardOf(host)][host]
}

// Covering implements certs.Names.
func (t *table) Covering(name string) string {
	if t.routed(name) != nil {
		return name
	}
	if t.find(name) != nil {
		return "*" + name[strings.IndexByte(name, '.'):]
	}
	return ""
}

// Routed implements certs.Names.
func (t *table) Routed(host string) bool { return t.routed(host) != nil }

// Hosts implements certs.Names.
func (t *table) Hosts() (list []string) {
	for _, shard := range t.root.Load().shard {
		for h := range shard {
			list = append(list, h)
		}
	}
	return list
}

// replace takes the old service's hosts out and puts those of the new one in,
// in one step. Either may be nil. Writers must not overlap.
func (t *table) replace(old, new *service) {
	root := *t.root.Load()
	fresh := map[int]bool{}
	edit := func(host string) map[string]*service {
		i := shardOf(host)
		if !fresh[i] {
			copied := make(map[string]*service, len(root.shard[i])+1)
			for k, v := range root.shard[i] {
				copied[k] = v
			}
			root.shard[i], fresh[i] = copied, true
		}
		return root.shard[i]
	}
	if old != nil {
		for _, h := range old.hosts() {
			shard := edit(h)
			if shard[h] == old {
				delete(shard, h)
				root.wildcards -= wildcard(h)
			}
		}
	}
	if new != nil {
		for _, h := range new.hosts() {
			shard := edit(h)
			if shard[h] == nil {
				root.wildcards += wildcard(h)
			}
			shard[h] = new
		}
	}
	t.root.Store(&root)
}

func wildcard(host string) int {
	if strings.HasPrefix(host, "*.") {
		return 1
	}
	return 0
}
