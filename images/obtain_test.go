package images_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"kernellab/images"
	"kernellab/images/imagestest"
)

// A file that is not what was made is made anew, with a warning that names it.
func TestObtain(t *testing.T) {
	for name, damage := range imagestest.Damages() {
		t.Run(name, func(t *testing.T) {
			var warned []string
			c := &images.Cache{Dir: t.TempDir(), Warn: func(text string) { warned = append(warned, text) }}
			made := 0
			obtain := func() string {
				t.Helper()
				path, err := c.Obtain(t.Context(), "programs", "key", 0o700, func(w io.Writer) error {
					made++
					_, err := io.WriteString(w, "a program")
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(path); string(b) != "a program" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				return path
			}
			path := obtain()
			if obtain(); made != 1 || len(warned) > 0 {
				t.Errorf("made %d times, warned %q", made, warned)
			}
			damage(t, path)
			if obtain(); made != 2 || len(warned) != 1 || !strings.Contains(warned[0], path) {
				t.Errorf("made %d times, warned %q", made, warned)
			}
			if obtain(); made != 2 {
				t.Errorf("made %d times", made)
			}
		})
	}
}
