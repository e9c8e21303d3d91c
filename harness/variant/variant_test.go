package variant_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/variant"
)

func secret(t *testing.T, text string) variant.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := variant.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The first eight bytes of
//
//	printf 'fork-new\0exit_status\0alice' | openssl dgst -sha256 -hmac KEY
//
// are a number, here modulo 7 and 1000.
func TestChoose(t *testing.T) {
	for key, want := range map[string][2]int{"0123456789abcdef": {1, 737}, "": {1, 515}} {
		var s variant.Secret
		if key != "" {
			s = secret(t, key+"\n")
		}
		for i, n := range []int{7, 1000} {
			if got := s.Choose("fork-new", "exit_status", " Alice", n); got != want[i] {
				t.Errorf("key %q: %d of %d, want %d", key, got, n, want[i])
			}
		}
	}
}

// What is chosen depends on each of lab, name, student and secret.
func TestChooseDepends(t *testing.T) {
	one, other := secret(t, "0123456789abcdef"), secret(t, "0123456789abcdeg")
	base := one.Choose("l", "n", "s", 1<<30)
	for what, got := range map[string]int{
		"lab": one.Choose("k", "n", "s", 1<<30), "name": one.Choose("l", "m", "s", 1<<30), "student": one.Choose("l", "n", "t", 1<<30),
		"secret": other.Choose("l", "n", "s", 1<<30), "no secret": variant.Secret{}.Choose("l", "n", "s", 1<<30),
		"the border of names": one.Choose("ln", "", "s", 1<<30),
	} {
		if got == base {
			t.Errorf("the same choice for another %s", what)
		}
	}
	if one.Mark() == other.Mark() || len(one.Mark()) != 8 || (variant.Secret{}).Mark() != "" {
		t.Errorf("marks %q, %q", one.Mark(), other.Mark())
	}
	times := map[int]int{}
	for i := range 1000 {
		times[one.Choose("l", "n", fmt.Sprint(i), 5)]++
	}
	for n := range 5 {
		if times[n] < 140 || times[n] > 260 {
			t.Errorf("%d of 1000 students have number %d", times[n], n)
		}
	}
}

func TestMake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := variant.Read(path); err == nil || !strings.Contains(err.Error(), "lab secret "+path) {
		t.Errorf("without a file: %v", err)
	}
	if err := variant.Make(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	first, err := variant.Read(path)
	if err != nil || first.None() {
		t.Fatal(err)
	}
	if err := variant.Make(path); err == nil || !strings.Contains(err.Error(), "not replaced") {
		t.Errorf("made twice: %v", err)
	}
	if again, err := variant.Read(path); err != nil || again.Mark() != first.Mark() {
		t.Errorf("the secret changed, %v", err)
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := variant.Read(path); err == nil || !strings.Contains(err.Error(), "at least 16") {
		t.Errorf("a short secret: %v", err)
	}
}

func TestCheckID(t *testing.T) {
	for id, good := range map[string]bool{"alice": true, "Müller, Jürgen": true, "": false, " \t": false, "a\nb": false, strings.Repeat("x", 201): false} {
		if err := variant.CheckID(id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}
