package dotenv

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// awkward are values that some reader of .env files gets wrong.
var awkward = []string{
	"", " ", "  both ends  ", "plain", "two words", "a#b", "#", "# no comment", "a # b", "http://x # comment",
	"'", "''", "'\\''", `"`, `""`, `"quoted"`, "it's", `\`, `\\`, `\n`, `\'`, `'\'`, "ends in \\", "$HOME", "${HOME}", "$(id)", "`id`", "$", "$$",
	"\n", "a\nb", "\na", "a\n", "\n\n", "KEY=value\nB=c", "a\r\nb", "\r", "a\r", "\r\n", "\t", "a\tb\t", "=", "==", "a=b", "export A=b",
	"-----BEGIN PRIVATE KEY-----\nMIIE+/=\n-----END PRIVATE KEY-----\n", "-----BEGIN X-----\r\nMIIE\r\n-----END X-----\r\n",
	"ünïcödé", "日本語", "\u2028", "\ufeff", "\ufffd", "🚀", "\x01\x1b[31m\x7f", `{"json": "yes\n", "n": [1, 2]}`, "%s %d", "!history!", "a;b|c&d<e>f*?~",
	"$2a$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
}

func write(t *testing.T, vars []Var) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("# a heading\n")
	for _, v := range vars {
		if err := Write(&b, v.Key, v.Value); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// roundTrip fails the test unless what is written is read back.
func roundTrip(t *testing.T, vars []Var) {
	t.Helper()
	text := write(t, vars)
	got, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	same := slices.EqualFunc(got, vars, func(a, b Var) bool { return a.Key == b.Key && a.Value == b.Value })
	if !same {
		t.Errorf("wrote %+q, read %+q, by\n%s", fmt.Sprint(vars), fmt.Sprint(got), text)
	}
}

func TestEveryValueComesBack(t *testing.T) {
	var vars []Var
	for i, value := range awkward {
		vars = append(vars, Var{Key: fmt.Sprint("K", i), Value: value})
		roundTrip(t, vars[i:])
	}
	roundTrip(t, vars)

	alphabet := []string{"'", `"`, `\`, "\n", "\r", "\r\n", "#", " ", "\t", "$", "`", "=", "a", "B9", "é", "export ", "\ufeff"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		vars := make([]Var, 1+random.IntN(4))
		for i := range vars {
			var value strings.Builder
			for range random.IntN(12) {
				value.WriteString(alphabet[random.IntN(len(alphabet))])
			}
			vars[i] = Var{Key: fmt.Sprint("K", i), Value: value.String()}
		}
		roundTrip(t, vars)
	}
}

// TestAShellReadsWhatIsWritten asks the real sh.
func TestAShellReadsWhatIsWritten(t *testing.T) {
	var vars []Var
	for i, value := range awkward {
		vars = append(vars, Var{Key: fmt.Sprint("K", i), Value: value})
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, write(t, vars), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `. "$0"; set -u`
	for _, v := range vars {
		script += `; printf '%s\0' "$` + v.Key + `"`
	}
	out, err := exec.Command("sh", "-c", script, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if got != awkward[i] {
			t.Errorf("%q came to be %q", awkward[i], got)
		}
	}
}

// TestParse is what files hold that people wrote.
func TestParse(t *testing.T) {
	pem := "-----BEGIN KEY-----\nMIIE\n-----END KEY-----\n"
	for _, c := range []struct{ text, want string }{
		{"", ``},
		{"\n \n# comment\n\t# another\n", ``},
		{"A=b", `A="b"`},
		{"A=b\nC=d\n", `A="b" C="d"`},
		{"\ufeffA=b\n", `A="b"`},
		{"A=b\r\nC='d'\r\nE=\"f\" # g\r\n", `A="b" C="d" E="f"`},
		{"\ufeff# x\r\nKEY=\"" + strings.ReplaceAll(pem, "\n", "\r\n") + "\"\r\nB=c", fmt.Sprintf(`KEY=%q B="c"`, pem)},
		{"export A=b\nexport\tC=d\n  export   E='f'", `A="b" C="d" E="f"`},
		{"A = b\nC= d e \nD =\t'f'", `A="b" C="d e" D="f"`},
		{"A=\nB= \nC=''\nD=\"\"\nE= # nothing", `A="" B="" C="" D="" E=""`},
		{"URL=http://x # comment", `URL="http://x"`},
		{"URL=http://x\t# comment", `URL="http://x"`},
		{"URL=http://x/#fragment", `URL="http://x/#fragment"`},
		{"COLOUR=#fff", `COLOUR="#fff"`},
		{`Q="http://x" # c`, `Q="http://x"`},
		{`Q='a # b' # c`, `Q="a # b"`},
		{`Q="a # b"`, `Q="a # b"`},
		{`A="it's" ` + "\nB='say \"hi\"'", `A="it's" B="say \"hi\""`},
		{`A=it's` + "\n" + `B={"a": "b"}`, `A="it's" B="{\"a\": \"b\"}"`},
		{`A='it'\''s'`, `A="it's"`},
		{`A="a\nb\rc\"d\\e\$f"`, `A="a\nb\rc\"d\\e$f"`},
		{`A='a\nb'`, `A="a\\nb"`},
		{`A=C:\dir`, `A="C:\\dir"`},
		{"KEY='" + pem + "'\nB=c", fmt.Sprintf(`KEY=%q B="c"`, pem)},
		{`KEY="-----BEGIN KEY-----\nMIIE\n-----END KEY-----\n"`, fmt.Sprintf(`KEY=%q`, pem)},
		{"A=a=b==", `A="a=b=="`},
		{"PRICE=5$\nB=$5\nC=a$", `PRICE="5$" B="$5" C="a$"`},
		{"A='$HOME'", `A="$HOME"`},
		{"A=exports\nexporter=b", `A="exports" exporter="b"`},
	} {
		vars, err := Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		var got []string
		for _, v := range vars {
			got = append(got, fmt.Sprintf("%s=%q", v.Key, v.Value))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %s, want %s", c.text, s, c.want)
		}
	}
}

// TestRefused is what programs read differently, or nobody can.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		text, want string
		line       int
	}{
		{"A=b\nC\n", "has no =", 2},
		{"A: b", "has no =", 1},
		{"A=b\n\nB='c\nd\n", "not closed", 3},
		{"A=\"b\nC=d", "not closed", 1},
		{`A='b'c`, "after the closing quote", 1},
		{`A='it\'s'`, "after the closing quote", 1},
		{"A='b\nc' d", "after the closing quote", 2},
		{`A="b"#c`, "after the closing quote", 1},
		{"A=$HOME/x", "variables are not replaced", 1},
		{"A=b\n" + `B="http://${HOST}/"`, "variables are not replaced", 2},
		{"A=$(id)", "commands are not run", 1},
		{"A=`id`", "commands are not run", 1},
		{`A="$(id)"`, "commands are not run", 1},
		{`A="C:\temp"`, "backslash", 1},
		{`A=a\\b`, "backslash", 1},
		{`A=a\`, "backslash", 1},
		{"A=b\nB=c\nA=d", "which line 1 has set", 3},
		{"A=b\nB=\xff", "UTF-8", 2},
		{"A=b\x00", "UTF-8", 1},
		{"\xff\xfeA\x00=\x00b\x00", "UTF-8", 1},
	} {
		vars, err := Parse([]byte(c.text))
		var e *Error
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Message, c.want) || e.Hint == "" {
			t.Errorf("%q: %v, %v; want %q in line %d", c.text, vars, err, c.want, c.line)
		}
	}
}

// FuzzParse: whatever is read comes back when it is written.
func FuzzParse(f *testing.F) {
	for _, value := range awkward {
		f.Add([]byte("export A = " + value + " # c\nB=c"))
		f.Add([]byte("A='" + value + "'\r\n"))
		f.Add([]byte("\ufeffA=\"" + value + `"`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		vars, err := Parse(text)
		if err != nil || slices.ContainsFunc(vars, func(v Var) bool { return strings.Trim(v.Key, "ABCDEF") != "" || v.Key == "" }) {
			return
		}
		roundTrip(t, vars)
	})
}
