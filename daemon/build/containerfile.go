package build

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// containerfile is what a Dockerfile says before it is run.
type containerfile struct {
	// bases are the images that it builds upon or copies from, each once: no
	// stages, no "scratch", variables expanded.
	bases []string
	// args are the names that it declares with ARG: the build arguments that it
	// can take.
	args []string
	// stages are its stages' names in their order; empty: it has none.
	stages []string
	// exposed are the TCP ports that each of them says it listens on, as far as they are
	// plain numbers.
	exposed [][]int
	// refused are names that are not an image's.
	refused []string
}

// parseContainerfile reads what is needed of a Dockerfile to provide its base
// images. args are build arguments from outside, which win over the file's
// defaults. It never fails: what it cannot make sense of is left to the builder,
// whose message the user knows.
func parseContainerfile(text string, args map[string]string) containerfile {
	p := containerfileParser{
		outside: args,
		global:  map[string]string{},
		stages:  map[string]bool{},
		seen:    map[string]bool{},
	}
	for _, line := range instructions(text) {
		p.instruction(line)
	}
	return p.file
}

type containerfileParser struct {
	file    containerfile
	outside map[string]string
	global  map[string]string // ARGs before the first FROM
	stages  map[string]bool
	seen    map[string]bool
}

func (p *containerfileParser) instruction(line string) {
	word, rest := cutWord(line)
	switch strings.ToUpper(word) {
	case "ARG":
		p.arg(rest)
	case "EXPOSE":
		p.expose(rest)
	case "FROM":
		p.from(rest)
	case "COPY":
		for _, flag := range leadingFlags(rest) {
			if name, ok := strings.CutPrefix(flag, "--from="); ok {
				p.copyFrom(name)
			}
		}
	case "RUN":
		for _, flag := range leadingFlags(rest) {
			options, ok := strings.CutPrefix(flag, "--mount=")
			if !ok {
				continue
			}
			for option := range strings.SplitSeq(noQuotes.Replace(options), ",") {
				if name, ok := strings.CutPrefix(option, "from="); ok {
					p.copyFrom(name)
				}
			}
		}
	case "ONBUILD":
		p.instruction(rest)
	}
}

// noQuotes takes away what may stand around a flag's value.
var noQuotes = strings.NewReplacer(`"`, "", `'`, "")

// copyFrom notes an image that files come from. Some versions of the builder expand what
// a stage has set by then, which is not known here.
func (p *containerfileParser) copyFrom(name string) {
	name = noQuotes.Replace(name)
	if strings.Contains(name, "$") {
		p.file.refused = append(p.file.refused, name)
		return
	}
	p.use(name)
}

// arg notes a declaration. Only those before the first FROM can appear in one.
func (p *containerfileParser) arg(rest string) {
	for _, decl := range splitWords(rest) {
		name, value, _ := strings.Cut(decl, "=")
		if name == "" {
			continue
		}
		if !p.seen["arg "+name] {
			p.seen["arg "+name] = true
			p.file.args = append(p.file.args, name)
		}
		if len(p.stages) > 0 {
			continue
		}
		if given, ok := p.outside[name]; ok {
			value = given
		}
		p.global[name] = p.expand(value)
	}
}

// from notes a stage and what it is based on. Each stage is known by its number
// and, if it has one, its name.
func (p *containerfileParser) from(rest string) {
	var words []string
	for _, w := range splitWords(rest) {
		if len(words) == 0 && strings.HasPrefix(w, "--") {
			continue
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return
	}
	p.use(words[0])
	p.stages[stageNumber(len(p.file.stages))] = true
	name := ""
	if len(words) >= 3 && strings.EqualFold(words[1], "as") {
		name = words[2]
		p.stages[strings.ToLower(name)] = true
	}
	p.file.stages = append(p.file.stages, name)
	p.file.exposed = append(p.file.exposed, nil)
}

func (p *containerfileParser) expose(rest string) {
	for _, word := range splitWords(rest) {
		number, protocol, _ := strings.Cut(word, "/")
		if n, err := strconv.Atoi(number); err == nil && len(p.file.exposed) > 0 && (protocol == "" || strings.EqualFold(protocol, "tcp")) {
			last := len(p.file.exposed) - 1
			p.file.exposed[last] = append(p.file.exposed[last], n)
		}
	}
}

// exposedBy are the ports of a stage, the last if it is not named, that its image exposes
// too; else all of the image's, which it has from its base.
func (f containerfile) exposedBy(target string, image []int) (own []int) {
	stage := len(f.stages) - 1
	if i := f.stage(target); i >= 0 {
		stage = i
	}
	for _, n := range image {
		if stage >= 0 && slices.Contains(f.exposed[stage], n) {
			own = append(own, n)
		}
	}
	if own == nil {
		return image
	}
	return own
}

// stage is the index of the stage of that name, or, if it has none, of that number; -1: there is
// none.
func (f containerfile) stage(target string) int {
	for i, name := range slices.Backward(f.stages) {
		if target != "" && (name == target || name == "" && stageNumber(i) == target) {
			return i
		}
	}
	return -1
}

// stageNumber is what a stage is called besides its name.
func stageNumber(n int) string { return strconv.Itoa(n) }

// use notes an image, unless the name is a stage's.
func (p *containerfileParser) use(name string) {
	name = p.expand(name)
	if name == "" || name == "scratch" || p.stages[strings.ToLower(name)] || p.seen["base "+name] {
		return
	}
	p.seen["base "+name] = true
	if isElsewhere(name) || len(name) == maxExpanded {
		p.file.refused = append(p.file.refused, name)
		return
	}
	p.file.bases = append(p.file.bases, name)
}

// isElsewhere tells of a name that leads the builder to something else than an image by its
// name: a file or directory that it can read, its own store, a socket.
func isElsewhere(name string) bool {
	transport, _, named := strings.Cut(name, ":")
	return named && slices.Contains(transports, transport) || strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".")
}

// transports are the ways that the builder knows to an image, each followed by a colon.
var transports = []string{
	"atomic", "containers-storage", "dir", "docker", "docker-archive", "docker-daemon",
	"oci", "oci-archive", "ostree", "sif", "tarball",
}

// maxExpanded is longer than the name of any image. Of a few lines, each of which doubles a
// variable, more would come than there is memory.
const maxExpanded = 4096 // bytes

// expand replaces $NAME, ${NAME}, ${NAME:-default} and ${NAME:+other}. What becomes too long for
// a name is cut off.
func (p *containerfileParser) expand(text string) string {
	text = p.expandAll(text)
	return text[:min(len(text), maxExpanded)]
}

func (p *containerfileParser) expandAll(text string) string {
	var out strings.Builder
	for text != "" && out.Len() <= maxExpanded {
		i := strings.IndexByte(text, '$')
		if i < 0 || i == len(text)-1 {
			break
		}
		out.WriteString(text[:i])
		text = text[i+1:]
		if text[0] != '{' {
			end := 0
			for end < len(text) && isNameByte(text[end]) {
				end++
			}
			out.WriteString(p.global[text[:end]])
			text = text[end:]
			continue
		}
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return out.String() + "$" + text
		}
		out.WriteString(p.expandBraces(text[1:end]))
		text = text[end+1:]
	}
	return out.String() + text
}

func (p *containerfileParser) expandBraces(inner string) string {
	if name, other, ok := strings.Cut(inner, ":-"); ok {
		if v := p.global[name]; v != "" {
			return v
		}
		return p.expand(other)
	}
	if name, other, ok := strings.Cut(inner, ":+"); ok {
		if p.global[name] != "" {
			return p.expand(other)
		}
		return ""
	}
	return p.global[inner]
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

var (
	escapeDirective = regexp.MustCompile("(?i)^#\\s*escape\\s*=\\s*([\\\\`])\\s*$")
	heredoc         = regexp.MustCompile(`<<(-?)\s*(["']?)([A-Za-z_][A-Za-z0-9_]*)(["']?)`)
)

// instructions joins continued lines and drops comments, blank lines and the
// bodies of here-documents.
func instructions(text string) []string {
	var (
		all    []string
		joined strings.Builder
		ends   []string // here-documents still open
		escape = `\`
	)
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimRight(line, "\r")
		if i == 0 {
			if m := escapeDirective.FindStringSubmatch(line); m != nil {
				escape = m[1]
			}
		}
		if len(ends) > 0 {
			if strings.TrimLeft(line, "\t") == ends[0] {
				ends = ends[1:]
			}
			continue
		}
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if part, ok := strings.CutSuffix(trimmed, escape); ok {
			joined.WriteString(part + " ")
			continue
		}
		joined.WriteString(trimmed)
		one := strings.TrimSpace(joined.String())
		joined.Reset()
		all = append(all, one)
		ends = heredocs(one)
	}
	if joined.Len() > 0 {
		all = append(all, strings.TrimSpace(joined.String()))
	}
	return all
}

// heredocs are the delimiters that an instruction opens, in order.
func heredocs(line string) (ends []string) {
	word, rest := cutWord(line)
	switch strings.ToUpper(word) {
	case "RUN", "COPY", "ADD":
		for _, m := range heredoc.FindAllStringSubmatch(rest, -1) {
			if m[2] == m[4] {
				ends = append(ends, m[3])
			}
		}
	}
	return ends
}

func cutWord(line string) (word, rest string) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

// leadingFlags are the words that begin with -- before the first that does not.
func leadingFlags(rest string) (flags []string) {
	for strings.HasPrefix(rest, "--") {
		var flag string
		flag, rest = cutWord(rest)
		flags = append(flags, flag)
	}
	return flags
}

// splitWords splits at blanks outside quotes and removes the quotes.
func splitWords(text string) (words []string) {
	var (
		word  strings.Builder
		quote byte
		open  bool
	)
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case c == ' ' || c == '\t':
			if open || word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteByte(c)
		}
	}
	if open || word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}
