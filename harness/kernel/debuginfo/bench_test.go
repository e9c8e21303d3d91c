package debuginfo_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/kernel/debuginfo"
	"kernellab/harness/kernel/kerneltest"
)

// resident is how much memory the process has had at most, in megabytes, pages
// of the mapped file included.
func resident(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1024
}

// What the first use of a kernel's vmlinux costs, and later ones. The peak of
// memory is the process's, so that of the first case counts.
func BenchmarkVmlinux(b *testing.B) {
	path := kerneltest.Vmlinux(b)[0]
	dir := b.TempDir()
	use := func(b *testing.B, o debuginfo.Options, prepare bool) {
		for b.Loop() {
			f, err := debuginfo.Open(path, o)
			if err != nil {
				b.Fatal(err)
			}
			if prepare {
				if err := f.Prepare(); err != nil {
					b.Fatal(err)
				}
			}
			f.Close()
		}
		b.ReportMetric(resident(b), "MB-peak")
	}
	b.Run("open", func(b *testing.B) { use(b, debuginfo.Options{}, false) })
	b.Run("index", func(b *testing.B) { use(b, debuginfo.Options{}, true) })
	f, err := debuginfo.Open(path, debuginfo.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Prepare(); err != nil {
		b.Fatal(err)
	}
	f.Close()
	b.Run("open with index", func(b *testing.B) { use(b, debuginfo.Options{Dir: dir}, true) })
	b.Run("an inlined function's place", func(b *testing.B) {
		for b.Loop() {
			f, err := debuginfo.Open(path, debuginfo.Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			if sites, _, err := f.Sites("dup_task_struct"); err != nil || len(sites) != 1 {
				b.Fatal(sites, err)
			}
			f.Close()
		}
	})
}
