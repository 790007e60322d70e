package main

import (
	"fmt"
	"strings"
)

// page is a manual page under way, in the macros of man(7).
type page struct{ strings.Builder }

func (m manual) page(name string, section int, about string) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %d %q %q %q\n", strings.ToUpper(roff(name)), section, m.date, "Towline "+m.version, "Towline")
	p.head("NAME")
	fmt.Fprintf(p, "%s \\- %s\n", roff(name), roff(about))
	return p
}

func (p *page) head(title string) { fmt.Fprintf(p, ".SH %s\n", title) }
func (p *page) sub(title string)  { fmt.Fprintf(p, ".SS %s\n", roff(title)) }

func (p *page) text(paragraphs ...string) {
	for _, t := range paragraphs {
		fmt.Fprintf(p, ".PP\n%s\n", roff(strings.Join(strings.Fields(t), " ")))
	}
}

// item is a term with what it means.
func (p *page) item(term, about string) {
	fmt.Fprintf(p, ".TP\n.B %s\n%s\n", roff(term), roff(about))
}

// verbatim keeps the lines as they are.
func (p *page) verbatim(text string) {
	fmt.Fprintf(p, ".IP\n.nf\n%s\n.fi\n", roffLines(text))
}

func (p *page) seeAlso(pages ...string) {
	p.head("SEE ALSO")
	for i, name := range pages {
		base, section, _ := strings.Cut(name, "(")
		end := ","
		if i == len(pages)-1 {
			end = ""
		}
		fmt.Fprintf(p, ".BR %s (%s%s\n", roff(base), section, end)
	}
}

func roffLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = roff(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// roff keeps troff from reading text as anything but text.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`, `"`, `\(dq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
