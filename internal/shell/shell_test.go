package shell

import (
	"os/exec"
	"strings"
	"testing"
)

// A shell reads back every word, and plain ones are not quoted.
func TestQuote(t *testing.T) {
	words := []string{"", "a b", "it's", "$HOME", "*", "a;b", "~", "!x", "#c", `\`, `"`, "a\nb", "-n", "x=1", "héllo"}
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, Quote(w))
	}
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+strings.Join(quoted, " ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); strings.Join(got, "|") != strings.Join(words, "|") {
		t.Errorf("a shell reads %q of %q", got, words)
	}
	for _, w := range []string{"lab", "./out/x-1_2.json", "a=b", "user@host:1,2+3%", "naïve"} {
		if Quote(w) != w {
			t.Errorf("Quote(%q) = %q", w, Quote(w))
		}
	}
}
