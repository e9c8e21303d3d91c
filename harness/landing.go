package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"kernellab/harness/rsp"
	"kernellab/images/guest"
)

// A program that a guest does not hold is written into the memory of the copy that
// is to run it, before it runs: where to, the guest told when it was saved. What is
// too large for that, or for a guest that boots, is brought as a parcel.

// landing is where a program can be written to: the note of a booted guest's
// snapshot.
type landing struct {
	Pages []uint64 // physical addresses, in order
}

// landingOf reads a snapshot's note. One that tells nothing is none.
func landingOf(note []byte) landing {
	var l landing
	if json.Unmarshal(note, &l) != nil {
		return landing{}
	}
	return l
}

// land writes a program into a machine that has not run yet, and tells whether
// there was room for it.
func (m *Machine) land(ctx context.Context, l landing, program []byte) (bool, error) {
	if len(program) == 0 || len(program) > len(l.Pages)*guest.PageSize {
		return false, nil
	}
	var zero [guest.PageSize]byte
	var pages []rsp.Range
	for i := 0; i*guest.PageSize < len(program); i++ {
		page := program[i*guest.PageSize : min((i+1)*guest.PageSize, len(program))]
		if !bytes.Equal(page, zero[:len(page)]) { // as it is already
			pages = append(pages, rsp.Range{Addr: l.Pages[i], Buf: page})
		}
	}
	stub, err := m.Stub(ctx)
	if err != nil {
		return false, err
	}
	if err := stub.WritePhysical(ctx, pages); err != nil {
		return false, fmt.Errorf("write the program into the guest: %w", err)
	}
	return true, nil
}
