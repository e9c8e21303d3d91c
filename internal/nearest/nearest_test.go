package nearest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWords(t *testing.T) {
	known := []string{"fork-new", "fork-family", "exec-life", "kthread", "x"}
	tests := []struct {
		name, word string
		want       []string
	}{
		{"one letter off", "fork-mew", []string{"fork-new"}},
		{"swapped", "fokr-new", []string{"fork-new"}},
		{"a part", "fork", []string{"fork-new", "fork-family"}},
		{"case", "KTHREAD", []string{"kthread"}},
		{"nothing like it", "zzzzzz", nil},
		{"empty", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Words(tt.word, known)); diff != "" {
				t.Errorf("Words(%q) -want +got:\n%s", tt.word, diff)
			}
		})
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "acb", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := Distance(tt.b, tt.a); got != tt.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
