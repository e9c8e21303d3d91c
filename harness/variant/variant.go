// Package variant chooses the task of each student of a class, and keeps a record of the
// choice with the submission. What the tasks differ in is the lab's: its lab.yaml
// declares the values.
//
// A choice is HMAC-SHA-256 over the lab, the variant's name and the student, with the
// secret of the class as the key. So it is the same every time, and without the secret
// nobody can tell which students have the same task. The package runs and grades nothing.
package variant

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"kernellab/internal/regular"
)

// The sizes of a secret's file, in bytes.
const (
	leastSecret = 16
	mostSecret  = 4 << 10
)

// Secret is the secret of a class. The zero value is no secret: a choice then depends on
// the lab and the student alone, and any student can compute it.
type Secret struct{ key []byte }

// Read reads the secret in a file.
func Read(path string) (Secret, error) {
	data, err := regular.ReadFile(path, mostSecret)
	if errors.Is(err, fs.ErrNotExist) {
		return Secret{}, fmt.Errorf("no secret at %s: lab secret %s makes one; keep it, because another one gives every student another task", path, path)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("read the class's secret: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if len(key) < leastSecret {
		return Secret{}, fmt.Errorf("read the class's secret: %s has %d characters, and a secret has at least %d: lab secret FILE makes one", path, len(key), leastSecret)
	}
	return Secret{[]byte(key)}, nil
}

// Make writes a new secret to a file that does not exist, for its owner alone.
func Make(path string) error {
	key := make([]byte, 32)
	rand.Read(key)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: it is not replaced, because another secret gives every student another task", path)
	}
	if err != nil {
		return fmt.Errorf("make the class's secret: %w", err)
	}
	_, err = io.WriteString(f, hex.EncodeToString(key)+"\n")
	return errors.Join(err, f.Close())
}

// None reports whether s is no secret.
func (s Secret) None() bool { return len(s.key) == 0 }

// Mark returns eight digits that tell one secret from another and do not give it away;
// "" for no secret.
func (s Secret) Mark() string {
	if s.None() {
		return ""
	}
	return hex.EncodeToString(s.sum("lab secret")[:4])
}

func (s Secret) sum(text string) []byte {
	h := hmac.New(sha256.New, s.key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// Choose returns a number from 0 to n-1 for a student, each equally likely. The case of
// letters in the student's ID and spaces around it do not matter. n is at least 1.
func (s Secret) Choose(lab, name, student string, n int) int {
	sum := s.sum(lab + "\x00" + name + "\x00" + ID(student))
	return int(binary.BigEndian.Uint64(sum) % uint64(n))
}

// ID returns a student's ID as choices are made by it.
func ID(student string) string { return strings.ToLower(strings.TrimSpace(student)) }

// CheckID refuses what is no student's ID.
func CheckID(student string) error {
	const most = 200
	switch {
	case ID(student) == "":
		return errors.New("a student's ID is empty")
	case len(student) > most || strings.ContainsFunc(student, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("the student's ID %.40q: want one line of at most %d bytes", student, most)
	}
	return nil
}
