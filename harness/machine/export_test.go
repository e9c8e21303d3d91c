package machine

import "time"

// SetGuard changes what ends a machine that hangs.
func (m *Machine) SetGuard(d time.Duration) { m.guard = d }
