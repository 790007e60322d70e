package build

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// archiveIndex says what is where in a docker archive that holds one image, such
// as the engine writes.
type archiveIndex struct {
	config  []byte
	layers  []string // names of the files that hold them, lowest first
	diffIDs []string
	length  map[string]int64 // bytes of each file
}

// readArchiveIndex reads an archive to its end.
func readArchiveIndex(r io.Reader) (archiveIndex, error) {
	var (
		index = archiveIndex{length: map[string]int64{}}
		links = map[string]string{}
		texts = map[string][]byte{}
	)
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return index, err
		}
		index.length[header.Name] = header.Size
		if header.Typeflag == tar.TypeSymlink { // a layer that the image has twice
			links[header.Name] = path.Join(path.Dir(header.Name), header.Linkname)
		}
		if strings.HasSuffix(header.Name, ".json") {
			if texts[header.Name], err = io.ReadAll(io.LimitReader(archive, maxManifest)); err != nil {
				return index, err
			}
		}
	}
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(texts["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		return index, errors.New("the archive holds not one image")
	}
	index.config = texts[manifest[0].Config]
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(index.config, &config); err != nil {
		return index, err
	}
	index.diffIDs = config.RootFS.DiffIDs
	if len(index.diffIDs) != len(manifest[0].Layers) {
		return index, fmt.Errorf("the archive has %d layers and %d digests", len(manifest[0].Layers), len(index.diffIDs))
	}
	for _, name := range manifest[0].Layers {
		if target, ok := links[name]; ok {
			name = target
		}
		index.layers = append(index.layers, name)
	}
	return index, nil
}

// sizes are the image's layers and how large each is.
func (x archiveIndex) sizes() (layers []layer) {
	for i, id := range x.diffIDs {
		layers = append(layers, layer{DiffID: id, Size: x.length[x.layers[i]]})
	}
	return layers
}
