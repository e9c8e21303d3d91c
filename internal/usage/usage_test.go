package usage

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestIs(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"none":          {nil, false},
		"a failure":     {fs.ErrNotExist, false},
		"a mistake":     {Errorf("--jobs %d", -1), true},
		"wrapped":       {fmt.Errorf("run: %w", Wrap(fs.ErrNotExist)), true},
		"joined":        {errors.Join(fs.ErrExist, Wrap(fs.ErrNotExist)), true},
		"unknown words": {Unknown("flag", "--jbs", []string{"--jobs"}, "see --help"), true},
	} {
		if got := Is(tt.err); got != tt.want {
			t.Errorf("%s: Is(%v) = %v, want %v", name, tt.err, got, tt.want)
		}
	}
	if err := Wrap(fs.ErrNotExist); !errors.Is(err, fs.ErrNotExist) || err.Error() != fs.ErrNotExist.Error() {
		t.Errorf("Wrap hides its error or changes its text: %v", err)
	}
	want := `unknown flag "--jbs": did you mean --jobs? (see --help)`
	if got := Unknown("flag", "--jbs", []string{"--jobs"}, "see --help").Error(); got != want {
		t.Errorf("Unknown: %q, want %q", got, want)
	}
}
