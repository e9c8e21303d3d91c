package harness

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestQuota(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	tests := []struct {
		name string
		root fstest.MapFS
		want float64 // 0 is none
	}{
		{"no control groups", fstest.MapFS{}, 0},
		{"version 2, in a container", fstest.MapFS{
			"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/cpu.max": file("50000 100000\n"),
		}, 0.5},
		{"version 2, no limit", fstest.MapFS{
			"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/cpu.max": file("max 100000\n"),
		}, 0},
		{"version 2, the tightest of those above", fstest.MapFS{
			"proc/self/cgroup":                         file("0::/ci.slice/job.scope\n"),
			"sys/fs/cgroup/ci.slice/cpu.max":           file("150000 100000\n"),
			"sys/fs/cgroup/ci.slice/job.scope":         {Mode: 0o755 | 1<<31},
			"sys/fs/cgroup/ci.slice/job.scope/cpu.max": file("400000 100000\n"),
		}, 1.5},
		{"version 2, a path of the host's", fstest.MapFS{
			"proc/self/cgroup": file("0::/../../docker/1234\n"), "sys/fs/cgroup/cpu.max": file("200000 100000\n"),
		}, 2},
		{"version 1", fstest.MapFS{
			"proc/self/cgroup":                     file("5:memory:/a\n4:cpuacct,cpu:/a\n1:name=systemd:/a\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":   file("25000\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":  file("100000\n"),
			"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": file("-1\n"),
		}, 0.25},
		{"damaged", fstest.MapFS{
			"proc/self/cgroup": file("0::/\nx\n::\n"), "sys/fs/cgroup/cpu.max": file("many 0\n"),
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := quota(tt.root)
			if got != tt.want || ok != (tt.want > 0) {
				t.Errorf("quota = %v, %t, want %v", got, ok, tt.want)
			}
		})
	}
}

func TestSlowness(t *testing.T) {
	tests := []struct {
		name   string
		host   Host
		atOnce int
		want   float64
	}{
		{"the usual", Host{CPUs: 2, Loop: usualLoop}, 2, 1},
		{"a faster one", Host{CPUs: 8, Loop: usualLoop / 2}, 2, 1},
		{"half a processor", Host{CPUs: 0.5, Loop: usualLoop}, 1, 2},
		{"a slow one that many share", Host{CPUs: 2, Loop: 3 * usualLoop}, 8, 12},
		{"one that stands still", Host{CPUs: 0.001, Loop: time.Minute}, 1, maxSlowness},
		{"not known", Host{}, 4, 1},
	}
	for _, tt := range tests {
		if got := tt.host.Slowness(tt.atOnce); got != tt.want {
			t.Errorf("%s: slowness %v, want %v", tt.name, got, tt.want)
		}
	}
	if h := MeasureHost(); h.CPUs <= 0 || h.Loop <= 0 {
		t.Errorf("MeasureHost = %+v", h)
	}
}

func TestLimits(t *testing.T) {
	if l := asked(3*time.Second, programLimit, 9); l.of != 3*time.Second || l.slowness != 1 {
		t.Errorf("a limit that was asked for is stretched: %+v", l)
	}
	quick := &Machine{known: 1, Boot: time.Hour, Restored: usualRestore / 2}
	if s := quick.slowness(); s != 1 {
		t.Errorf("slowness %v by the boot of a machine that did not boot", s)
	}
	slow := &Machine{known: 2, Boot: time.Second, Restored: 5 * usualRestore}
	if s := slow.slowness(); s != 5 {
		t.Errorf("slowness %v, want 5 by the time it took to restore", s)
	}
	booted := &Machine{known: 2, Boot: usualBoot}
	if s := booted.slowness(); s != 2 {
		t.Errorf("slowness %v, want the 2 that is known", s)
	}
	err := stretched(restoreLimit, 2.5).hit("the start from a snapshot")
	want := "the start from a snapshot took more than 1m15s, the usual 30s times 2.5 for the speed of this host (raise it with --timeout)"
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if err := asked(time.Second, bootLimit, 3).hit("the boot"); strings.Contains(err.Error(), "times") {
		t.Errorf("error %q tells of a stretch that was not", err)
	}
}
