package machinetest

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kernellab/harness/machine"
	"kernellab/harness/snapshot"
)

// Copied returns a store of the test's own that holds a copy of the snapshot from which s
// starts, so that a test which discards, damages or counts snapshots does not boot its
// kernel once more. If s.Snapshots has no such snapshot, Copied has it made there. A
// warning of the returned store fails the test.
func Copied(t testing.TB, s machine.Spec) *snapshot.Store {
	t.Helper()
	m, err := s.Start(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	own := &snapshot.Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { t.Errorf("warned: %s", text) }}
	from := snapshotOf(t, s)
	to := filepath.Join(own.Dir, filepath.Base(from))
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := copyFile(filepath.Join(to, f.Name()), filepath.Join(from, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return own
}

// snapshotOf returns the folder of the snapshot of s that Start uses.
func snapshotOf(t testing.TB, s machine.Spec) string {
	t.Helper()
	initrd, err := s.Snapshots.Digest(t.Context(), s.Initrd)
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	manifests, _ := filepath.Glob(filepath.Join(s.Snapshots.Dir, "*", "manifest.json"))
	for _, path := range manifests {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it was just removed
		}
		var m struct{ Key snapshot.Key }
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		k := m.Key
		if k.ID() == filepath.Base(filepath.Dir(path)) && k.Place == nil && k.Kernel == s.Image.SHA256 && k.Initrd == initrd && k.QEMU == version &&
			slices.Equal(k.Machine, s.Config().Identity()) {
			found = append(found, filepath.Dir(path))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d snapshots of the machine in %s, want 1: %v", len(found), s.Snapshots.Dir, found)
	}
	return found[0]
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(info.Size()); err != nil {
		return err
	}
	return snapshot.Copy(f, source)
}
