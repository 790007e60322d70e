// Package plugins is the contract between Towline and the services it can add: a
// folder with a plugin.toml that describes a service. A manifest is data; the daemon
// does what it says. See docs/plugins.md.
package plugins
