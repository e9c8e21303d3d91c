package prepare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/internal/usage"
)

// log keeps what was reported.
type log struct{ tasks, said []string }

func (l *log) Report(what string, _, _ int64) { l.tasks = append(l.tasks, what) }
func (l *log) Say(format string, args ...any) { l.said = append(l.said, fmt.Sprintf(format, args...)) }
func (l *log) Done()                          {}
func (l *log) host(dir string) Host           { return Host{Cache: &images.Cache{Dir: dir}, Progress: l} }
func none(m, name string) error               { return &linux.NotFoundError{Arch: m, Spec: name} }
func kernelOf(m, release string) linux.Kernel {
	return linux.Kernel{Arch: m, Release: release, Path: "/k/" + m + "/" + release}
}

var errMirror = errors.New("the mirror does not answer")

// fetch knows 6.1 and 7.2 for both architectures, 6.12 for riscv64 alone; a mirror
// fails for 5.10 on x86_64, and nothing else exists.
func fetch(_ context.Context, m, name string, _ images.Progress) (linux.Kernel, error) {
	switch {
	case name == "5.10" && m == "x86_64":
		return linux.Kernel{}, errMirror
	case name == "6.1", name == "7.2", name == linux.DefaultSpec(m), name == "6.12" && m == "riscv64":
		return kernelOf(m, name+".0"), nil
	}
	return linux.Kernel{}, none(m, name)
}

// Names become targets: each once, in order, and what cannot be had carries its error.
func TestFind(t *testing.T) {
	notKernel := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(notKernel, []byte("no kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		k    Kernels
		want []string
		said int    // names left out for an architecture
		err  string // of Find itself
	}{
		"in order":        {k: Kernels{Arch: "all", Names: []string{"7.2", "6.1"}}, want: []string{"x86_64 6.1.0", "x86_64 7.2.0", "riscv64 6.1.0", "riscv64 7.2.0"}},
		"each once":       {k: Kernels{Arch: "x86_64", Names: []string{"6.1", "7.2", "6.1"}}, want: []string{"x86_64 6.1.0", "x86_64 7.2.0"}},
		"one arch has it": {k: Kernels{Arch: "all", Names: []string{"6.12"}}, want: []string{"riscv64 6.12.0"}, said: 1},
		"a mirror fails":  {k: Kernels{Arch: "x86_64", Names: []string{"5.10", "6.1"}}, want: []string{"x86_64 5.10!", "x86_64 6.1.0"}},
		"one is unknown":  {k: Kernels{Arch: "x86_64", Names: []string{"6.1", "9.9"}}, want: []string{"x86_64 6.1.0", "x86_64 9.9!"}},
		"no kernel file":  {k: Kernels{Arch: "x86_64", Names: []string{notKernel}}, want: []string{"x86_64 " + notKernel + "!"}},
		"none named":      {k: Kernels{Arch: "riscv64"}, want: []string{"riscv64 " + linux.DefaultSpec("riscv64") + ".0"}},
		"all are unknown": {k: Kernels{Arch: "all", Names: []string{"9.9"}}, err: "9.9"},
		"a folder":        {k: Kernels{Arch: "all", Names: []string{t.TempDir()}}, err: "is a folder"},
		"no file":         {k: Kernels{Arch: "all", Names: []string{"./none"}}, err: "no kernel image at ./none"},
		"a wrong arch":    {k: Kernels{Arch: "arm", Names: []string{"6.1"}}, err: "unknown architecture"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &log{}
			tt.k.Fetch = fetch
			found, err := l.host(t.TempDir()).Find(t.Context(), tt.k)
			if tt.err != "" {
				if !usage.Is(err) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want a mistake of usage with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range found {
				text := k.Arch.Name + " " + k.Release
				if k.Err != nil {
					text += "!"
				}
				if k.Image != nil {
					t.Errorf("%s is open", text)
				}
				got = append(got, text)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("targets (-want +got)\n%s", d)
			}
			if len(l.said) != tt.said {
				t.Errorf("messages %q, want %d", l.said, tt.said)
			}
		})
	}
}

// Open fails where Find returns a target with an error, and says whose mistake it is.
func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, []byte("no kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		names []string
		want  string
		usage bool
	}{
		"unknown":        {[]string{"9.9"}, "9.9", true},
		"a mirror fails": {[]string{"5.10"}, "kernel 5.10 for x86_64: the mirror does not answer", false},
		"no kernel file": {[]string{file}, "kernel " + file, false},
		"no file":        {[]string{"./none"}, "no kernel image at ./none", true},
		"no image":       {[]string{"6.1"}, "kernel /k/x86_64/6.1.0", false},
		"the default":    {nil, "kernel /k/x86_64/" + linux.DefaultSpec("x86_64") + ".0", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&log{}).host(t.TempDir()).Open(t.Context(), Kernels{Arch: "x86_64", Names: tt.names, Fetch: fetch})
			if err == nil || !strings.Contains(err.Error(), tt.want) || usage.Is(err) != tt.usage {
				t.Errorf("error %v, want one with %q, a mistake of usage: %v", err, tt.want, tt.usage)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&log{}).host(t.TempDir()).Open(ctx, Kernels{Arch: "all", Fetch: fetch}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A cache without kernels is a mistake of whoever asks for all of them.
func TestOpenCachedNone(t *testing.T) {
	if _, err := (&log{}).host(t.TempDir()).OpenCached("all"); !usage.Is(err) {
		t.Errorf("error %v, want a mistake of usage", err)
	}
	if _, err := Archs("all"); err != nil || len(arch.All()) != 2 {
		t.Errorf("all architectures: %v", err)
	}
}
