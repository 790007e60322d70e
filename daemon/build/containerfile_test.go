package build

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseContainerfile(t *testing.T) {
	for _, test := range []struct {
		name, text  string
		args        map[string]string
		bases, want []string // want: declared ARGs
	}{
		{name: "empty"},
		{name: "plain", text: "FROM debian:12\nRUN true\n", bases: []string{"debian:12"}},
		{name: "lower case, CRLF, blanks", text: "\r\n  from   debian:12  \r\n", bases: []string{"debian:12"}},
		{name: "byte order mark", text: "\ufeffFROM a", bases: []string{"a"}},
		{name: "scratch", text: "FROM scratch\nCOPY x /x"},
		{name: "platform", text: "FROM --platform=$BUILDPLATFORM golang:1 AS b\nFROM b", bases: []string{"golang:1"}},
		{name: "stages", text: "FROM a AS Base\nFROM base as two\nFROM two\nFROM b", bases: []string{"a", "b"}},
		{name: "stage named like an image used before it", text: "FROM a\nFROM b AS a\nFROM a", bases: []string{"a", "b"}},
		{name: "same base twice", text: "FROM a\nFROM a", bases: []string{"a"}},
		{
			name: "copy from", text: "FROM a AS s\nFROM b\nCOPY --chown=1:1 --from=s /x /x\nCOPY --from=0 /y /y\nCOPY --from=c /z /z",
			bases: []string{"a", "b", "c"},
		},
		{
			name: "run mount", text: "FROM a AS s\nFROM b\nRUN --mount=type=bind,from=s,target=/s --mount=from=c,target=/c ls --mount=from=d",
			bases: []string{"a", "b", "c"},
		},
		{
			name: "arguments", text: "ARG V=12 W\nARG IMAGE=\"debian:${V}\"\nFROM ${IMAGE}\nARG LATER=1\nFROM x:$LATER$W",
			bases: []string{"debian:12", "x:"}, want: []string{"V", "W", "IMAGE", "LATER"},
		},
		{
			name: "argument from outside", text: "ARG V=12\nFROM debian:$V", args: map[string]string{"V": "13"},
			bases: []string{"debian:13"}, want: []string{"V"},
		},
		{
			name: "an argument that is not declared has no effect", text: "FROM debian:${V:-11}", args: map[string]string{"V": "13"},
			bases: []string{"debian:11"},
		},
		{name: "alternatives", text: "ARG A=1\nFROM x${A:+y}${B:+z}${B:-w}", bases: []string{"xyw"}, want: []string{"A"}},
		{name: "unclosed brace", text: "FROM x${A", bases: []string{"x${A"}},
		{name: "empty after expansion", text: "FROM $NOTHING"},
		{name: "continued", text: "FROM \\\n  # why\n\n  a \\\n AS b\nFROM b", bases: []string{"a"}},
		{name: "other escape", text: "# escape=`\nFROM `\n a\nRUN c:\\\nFROM b", bases: []string{"a", "b"}},
		{
			name: "here-documents", text: "FROM a\nRUN <<EOF cat <<-'TWO'\nFROM no\nEOF\n\tFROM no\n\tTWO\nCOPY <<X /x\nFROM no\nX\nFROM b",
			bases: []string{"a", "b"},
		},
		{name: "a shift is no here-document", text: "FROM a\nRUN echo $((1<<2))\nFROM b", bases: []string{"a", "b"}},
		{name: "unfinished", text: "FROM a\nRUN x \\", bases: []string{"a"}},
		{name: "nonsense", text: "FROM\nFROM --platform=x\nARG\nARG =\nCOPY --from=\nRUN --mount=from=\n\x00", bases: nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := parseContainerfile(test.text, test.args)
			if !reflect.DeepEqual(got.bases, test.bases) {
				t.Errorf("bases %q, want %q", got.bases, test.bases)
			}
			if !reflect.DeepEqual(got.args, test.want) {
				t.Errorf("args %q, want %q", got.args, test.want)
			}
		})
	}
}

// TestExposed: what the stage itself exposes counts more than what it has from its base, as
// far as the image has it.
func TestExposed(t *testing.T) {
	const text = "EXPOSE 1\nFROM nginx AS front\nEXPOSE 8080/tcp 53/udp\nFROM front\nFROM node AS app\nEXPOSE $P 3000 4000-4005\nEXPOSE 9229"
	for _, c := range []struct {
		text, target string
		image, want  []int
	}{
		{text, "", []int{80, 3000, 9229}, []int{3000, 9229}},
		{text, "front", []int{80, 8080}, []int{8080}},
		{text, "1", []int{80, 8080}, []int{80, 8080}}, // all from its base
		{text, "app", []int{7000}, []int{7000}},       // by the variable
		{"EXPOSE 1", "", []int{5}, []int{5}},
		{"FROM a", "", nil, nil},
	} {
		if got := parseContainerfile(c.text, nil).exposedBy(c.target, c.image); !slices.Equal(got, c.want) {
			t.Errorf("%q of %q: %v, want %v", c.target, c.text, got, c.want)
		}
	}
}

func FuzzParseContainerfile(f *testing.F) {
	f.Add("ARG A=1\nFROM ${A:-x} AS b\nRUN <<E\nE\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, base := range parseContainerfile(text, nil).bases {
			if base == "" || base == "scratch" {
				t.Errorf("base %q", base)
			}
		}
	})
}

// TestExpansionIsBounded: each of these lines doubles a variable.
func TestExpansionIsBounded(t *testing.T) {
	f := parseContainerfile("ARG A=xxxxxxxx\n"+strings.Repeat("ARG A=$A$A\n", 40)+"ARG B="+strings.Repeat("${A:-x}", 100_000)+"\nFROM $A$B\n", nil)
	if len(f.bases) > 0 || len(f.refused) != 1 || len(f.refused[0]) > maxExpanded {
		t.Errorf("%d bases, %d refused", len(f.bases), len(f.refused))
	}
}
