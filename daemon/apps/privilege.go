package apps

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"towline/daemon"
)

// What a process writes that does without a capability which its image counts on: the line
// that says so, and the capability.
var privilegeLines = []struct {
	line       *regexp.Regexp
	capability string
	words      string
}{
	{regexp.MustCompile(`(?i)(bind|listen|make_sock|socket).*(permission denied|EACCES|\(13\b|errno 13\b)|(permission denied|EACCES).*(bind|listen|0\.0\.0\.0:\d|\[::\]:\d)`),
		daemon.BindLow, "it may not listen on a port below 1024"},
	{regexp.MustCompile(`(?i)(setuid|setgid|setgroups|set groups|initgroups|setresuid|setresgid|seteuid|setegid|switch(ing)? (to )?user|su-exec|gosu|setpriv|drop(ping)? privileges?).*(operation not permitted|EPERM|\(1\b)`),
		"SETUID", "it starts as root, and may not go on as another user"},
	{regexp.MustCompile(`(?i)chown.*(operation not permitted|EPERM)|changing (ownership|group) of.*operation not permitted`),
		"CHOWN", "it may not change the owner of files"},
	{regexp.MustCompile(`(?i)(chmod|changing permissions of).*(operation not permitted|EPERM)`),
		"FOWNER", "it may not change the permissions of other users' files"},
}

// asRoot are the capabilities that an image which starts as root mostly wants, one after
// another.
var asRoot = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}

// lackedCapability tells from what a process wrote last which capability it lacks; empty: that
// is not what it failed by.
func lackedCapability(lines []string, app daemon.App) (words, hint string) {
	for _, line := range lines {
		for _, p := range privilegeLines {
			if !p.line.MatchString(line) || slices.Contains(app.Capabilities, p.capability) {
				continue
			}
			want := slices.Clone(app.Capabilities)
			also := "have the image run as another user (USER in the Dockerfile)"
			if p.capability == daemon.BindLow {
				want = append(want, p.capability)
				also = "have it listen on $PORT"
			} else {
				want = append(want, asRoot...)
			}
			want, err := daemon.CheckCapabilities(want)
			if err != nil {
				continue
			}
			return p.words, fmt.Sprintf("%s, or have an administrator allow it: towline ps:capabilities:set %s -a %s", also, strings.Join(want, " "), app.Name)
		}
	}
	return "", ""
}
