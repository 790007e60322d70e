package backups

import (
	"testing"

	"towline/daemon"
)

func TestScheduleIsChecked(t *testing.T) {
	for _, s := range []daemon.Schedule{
		{Cron: "", Zone: "UTC"}, {Cron: "* * * *", Zone: "UTC"}, {Cron: "61 * * * *", Zone: "UTC"},
		{Cron: "0 0 30 2 *", Zone: "UTC"}, {Cron: "0 3 * * *", Zone: "Mars/Olympus"}, {Cron: "0 3 * * *", Zone: "Local"},
		{Cron: "0 3 * * *", Zone: "../../etc/passwd"}, {Cron: "TZ=UTC 0 3 * * *", Zone: "UTC"}, {Cron: "@never", Zone: "UTC"},
	} {
		if _, err := timesOf(s); !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("%+v is taken: %v", s, err)
		}
	}
}
