package doctor

import (
	"context"
	"fmt"
	"os/exec"

	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/images/emulator"
)

// qemuFindings describes the QEMU in use.
func qemuFindings(ctx context.Context, h prepare.Host) []Finding {
	used, other, err := h.OtherQEMU()
	switch {
	case err != nil:
		return []Finding{{Name: "QEMU", State: Missing, Detail: err.Error(), Needed: "every run", Mend: "unset " + prepare.QEMUEnv}}
	case !other:
		f := Finding{Name: "QEMU", State: OK, Needed: "every run"}
		if q, ok := emulator.In(h.Cache).Cached(); ok {
			f.Detail = fmt.Sprintf("lab's own %s, in %s", q.Version, q.Dir)
		} else {
			f.State, f.Detail, f.Mend = Missing, "lab's own QEMU is not fetched", "lab qemu fetch"
		}
		return []Finding{f}
	}
	var found []Finding
	for _, m := range arch.All() {
		f := Finding{Name: "QEMU for " + m.Name, State: OK, Needed: "every run on " + m.Name}
		command := used.For(m)
		path, err := exec.LookPath(command[0])
		if err != nil {
			f.State, f.Detail = Missing, "not installed, and "+used.Why
			if used.QEMU == (emulator.QEMU{}) {
				f.Packages = m.QEMU.Package
			} else {
				f.Mend = "unset " + prepare.QEMUEnv
			}
			found = append(found, f)
			continue
		}
		version, err := used.VersionFor(ctx, m)
		switch {
		case err != nil:
			f.State, version = Missing, err.Error()
		case prepare.Unsound(version):
			version += fmt.Sprintf(", older than %d: a submitted program can crash its guest", prepare.SoundQEMU)
		}
		f.Detail = path + " " + version
		found = append(found, f)
	}
	return found
}
