package message

import "golang.org/x/net/http2/hpack"

// MaxBlock bounds a compressed header block, in bytes.
const MaxBlock = 256 << 10

// A BlockDecoder decodes the header blocks of one connection, in the order in
// which they came, for each builds on those before it (RFC 7541). It belongs to
// the goroutine that reads the connection.
type BlockDecoder struct {
	hpack *hpack.Decoder
	dst   *Head
	size  int // of the fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts
	limit int
}

// NewBlockDecoder keeps of each block no more than limit bytes of fields.
func NewBlockDecoder(limit int) *BlockDecoder {
	d := &BlockDecoder{limit: limit}
	d.hpack = hpack.NewDecoder(4096, d.emit)
	d.hpack.SetMaxStringLength(MaxBlock)
	return d
}

func (d *BlockDecoder) emit(f hpack.HeaderField) {
	if d.size += len(f.Name) + len(f.Value) + 32; len(d.dst.Fields) == maxFields {
		d.size = max(d.size, d.limit+1)
	} else if d.size <= d.limit {
		d.dst.Fields = append(d.dst.Fields, Field{f.Name, f.Value})
	}
}

// Decode appends the fields of a block to those of dst. fits is false if there
// were more than the limit, or than a head may have; the rest is left out. Even a block that nobody wants
// must be decoded, for the sake of the next ones. An error is a ConnError.
func (d *BlockDecoder) Decode(dst *Head, block []byte) (fits bool, err error) {
	d.dst, d.size = dst, 0
	_, err = d.hpack.Write(block)
	if e := d.hpack.Close(); err == nil {
		err = e
	}
	d.dst = nil
	if err != nil {
		return false, ConnError(CodeCompression)
	}
	return d.size <= d.limit, nil
}

// Size is what the fields of the last block weigh, in bytes.
func (d *BlockDecoder) Size() int { return d.size }
