package harness_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/images"
)

// A guest can be saved at any moment, also right before its timer is due: the copy
// answers and its clock ticks.
func TestSavedAtAnyMoment(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		var moments []time.Duration
		for i := range 6 {
			moments = append(moments, time.Duration(i)*27*time.Millisecond)
		}
		ram, err := os.Create(filepath.Join(t.TempDir(), "ram"))
		if err != nil {
			t.Fatal(err)
		}
		defer ram.Close()
		wrong, err := job(t, a, k, nil).TryMoments(t.Context(), ram, moments)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range wrong {
			if err != nil {
				t.Errorf("saved after %s: %v", moments[i], err)
			}
		}
	})
}
