package hostbackup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Record is what is remembered of this machine's backups, in STATE/host-backup.json.
type Record struct {
	Taken    time.Time `json:"taken,omitzero"`
	DataAsOf time.Time `json:"data_as_of,omitzero"`
	Size     int64     `json:"size,omitempty"` // bytes
	To       string    `json:"to,omitempty"`
	Missing  []string  `json:"missing,omitempty"`
	Verified time.Time `json:"verified,omitzero"` // when one was last restored to try it
	Error    string    `json:"error,omitempty"`   // of the last attempt, if it failed
	Plan     string    `json:"plan,omitempty"`    // that Due is of
	Due      time.Time `json:"due,omitzero"`      // the last time of the plan that was acted on
}

const recordName = "host-backup.json"

// records keep it.
type records struct {
	path      string
	recording sync.Mutex
}

// Record is the present one; none yet is no error.
func (rs *records) Record() (r Record, err error) {
	text, err := os.ReadFile(rs.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

func (rs *records) record(change func(*Record)) error {
	rs.recording.Lock()
	defer rs.recording.Unlock()
	r, err := rs.Record()
	if err != nil {
		r = Record{} // a damaged one is of no use
	}
	change(&r)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(rs.path, append(text, '\n'))
}

// taken notes how a backup has ended.
func (rs *records) taken(res Result, to string, err error) error {
	return errors.Join(err, rs.record(func(r *Record) {
		if err != nil {
			r.Error = err.Error()
			return
		}
		r.Taken, r.DataAsOf, r.Size, r.To, r.Missing, r.Error = res.Created, res.DataAsOf, res.Size, to, res.Missing, ""
	}))
}

// NoteVerified remembers that a backup was restored to try it.
func (rs *records) NoteVerified() error {
	return rs.record(func(r *Record) { r.Verified = time.Now().UTC().Truncate(time.Second) })
}
