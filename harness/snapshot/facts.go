package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"kernellab/internal/flock"
	"kernellab/internal/regular"
)

// A fact is a property of a file that takes time to find out. It is valid until the
// file changes.
type fact struct {
	Stamp stamp  `json:"stamp"`
	Value string `json:"value"`
}

const (
	factsFile = "facts.json"
	maxFacts  = 1 << 20
)

// Fact returns what find returns for the file at path, and stores it until the file
// changes. The name of the fact is what.
func (s *Store) Fact(ctx context.Context, what, path string, find func() (string, error)) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	now, err := infoStamp(info)
	if err != nil {
		return find()
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	name := what + " of " + abs
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.facts == nil {
		s.facts = s.readFacts()
	}
	if f, ok := s.facts[name]; ok && f.Stamp == now {
		return f.Value, nil
	}
	value, err := find()
	if err != nil {
		return "", err
	}
	s.facts[name] = fact{now, value}
	s.learn(ctx, name, s.facts[name])
	return value, nil
}

func (s *Store) readFacts() map[string]fact {
	facts := map[string]fact{}
	if readSealed(s.path(factsFile), maxFacts, &facts) != nil || facts == nil {
		return map[string]fact{} // the facts are found out again
	}
	return facts
}

// learn adds a fact to the stored ones. It ignores errors, as a fact can be found out
// again.
func (s *Store) learn(ctx context.Context, name string, f fact) {
	if os.MkdirAll(s.Dir, 0o700) != nil {
		return
	}
	lock, err := flock.Wait(ctx, s.path(factsFile+".lock"))
	if err != nil {
		return
	}
	defer lock.Close()
	facts := s.readFacts()
	for other := range facts { // remove facts about files that no longer exist
		if len(facts) > 256 {
			delete(facts, other)
		}
	}
	facts[name] = f
	writeSealed(s.path(factsFile), facts)
}

// Digest returns the SHA-256 of a file.
func (s *Store) Digest(ctx context.Context, path string) (string, error) {
	return s.Fact(ctx, "SHA-256", path, func() (string, error) {
		f, err := regular.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return "", err
		}
		return hex.EncodeToString(h.Sum(nil)), nil
	})
}

// Identity returns text that differs for different installations of an executable, even
// with the same version: its path, size and time of installation.
func Identity(binary string) (string, error) {
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %s", path, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// Boots has the numbers of boots of one kernel image with one QEMU.
type Boots struct {
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"` // release
	SHA256 string `json:"sha256"` // of the image; a damaged copy has the same release
	QEMU   string `json:"qemu"`   // version
	Tries  int    `json:"tries"`
	Oopses int    `json:"oopses"` // boots that ended with an oops, a panic or a reset
}

const bootsFile = "boots.json"

// CountBoot records a boot.
func (s *Store) CountBoot(ctx context.Context, b Boots) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("count the boot: %w", err)
	}
	lock, err := flock.Wait(ctx, s.path(bootsFile+".lock"))
	if err != nil {
		return fmt.Errorf("count the boot: %w", err)
	}
	defer lock.Close()
	all := s.Boots()
	found := false
	for i := range all {
		if o := &all[i]; o.Arch == b.Arch && o.SHA256 == b.SHA256 && o.QEMU == b.QEMU {
			o.Tries, o.Oopses, found = o.Tries+b.Tries, o.Oopses+b.Oopses, true
		}
	}
	if !found {
		all = append(all, b)
	}
	if err := writeSealed(s.path(bootsFile), all); err != nil {
		return fmt.Errorf("count the boot: %w", err)
	}
	return nil
}

// Boots returns the recorded numbers, in the order of the kernels' first boots. It
// returns none, and warns, if the file is not what was written: the counting begins anew.
func (s *Store) Boots() []Boots {
	var all []Boots
	if err := readSealed(s.path(bootsFile), maxFacts, &all); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.warn(fmt.Sprintf("%v; the boots are counted anew", err))
		}
		return nil
	}
	return all
}
