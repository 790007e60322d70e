package podman_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"towline/daemon"
	"towline/daemon/contract"
)

// Podman does what the core relies upon, as its stand-in in daemon/memory does.
func TestContract(t *testing.T) {
	e := newEngine(t)
	contract.Engine(t, contract.Bench{Engine: e, Name: run, Image: testImage,
		NewImage: func(t *testing.T, ref string) daemon.Image {
			image, err := e.LoadImage(t.Context(), bytes.NewReader(dockerArchive(ref, []byte(rand.Text()))))
			if err != nil {
				t.Fatal(err)
			}
			return image
		}})
}
