// Package daemon is Towline's domain: its nouns, its rules, and one file for each
// journey (deploy.go, provision.go, backup.go, reconcile.go). What it needs from
// outside is in ports.go.
package daemon
