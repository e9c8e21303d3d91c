package harness

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRoom(t *testing.T) {
	const gb = 1 << 30
	for _, tt := range []struct {
		name       string
		processors int
		bytes      int64
		want       int
	}{
		{"processors decide", 2, 24 * gb, 2},
		{"memory decides", 16, 2 * gb, 5},
		{"an autograder of 768 MB", 4, 768 << 20, 2},
		{"no room at all is one guest", 8, 100 << 20, 1},
		{"memory not known", 8, -1, 8},
	} {
		if got := room(tt.processors, tt.bytes); got != tt.want {
			t.Errorf("%s: %d guests, want %d", tt.name, got, tt.want)
		}
	}
}

func TestFreeMemory(t *testing.T) {
	const meminfo = "MemTotal:       24683604 kB\nMemFree:         1024 kB\nMemAvailable:    2048 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"the kernel's", map[string]string{"proc/meminfo": meminfo}, 2 << 20},
		{"no limit on the container", map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}, 2 << 20},
		{"a container", map[string]string{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": "1048576\n", "sys/fs/cgroup/memory.current": "48576\n"}, 1000000},
		{"a container over its limit", map[string]string{"sys/fs/cgroup/memory.max": "10\n", "sys/fs/cgroup/memory.current": "20\n"}, 0},
		{"nothing is known", nil, -1},
		{"nonsense", map[string]string{"proc/meminfo": "MemAvailable: lots\n"}, -1},
	} {
		root := t.TempDir()
		for name, text := range tt.files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := freeMemory(root); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}
