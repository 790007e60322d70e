package proxy

// WhileSaving runs f as if a service's state took that long to reach the disk.
func (p *Proxy) WhileSaving(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}
