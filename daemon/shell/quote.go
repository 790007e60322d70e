package shell

import "strings"

// plain are the bytes that mean nothing to a shell inside a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"

// Quote writes a word so that a shell, and Split, reads it as one word: as it is if it can
// be, which is nicer to read, and else by Protect. In front of a command a plain NAME=value
// is an assignment to a shell.
func Quote(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return Protect(word)
}

// Protect puts a word in single quotes, in any case.
func Protect(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// Join is a line that a shell, and Split, cuts into the words again.
func Join(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}
