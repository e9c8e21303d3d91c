package harness

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"kernellab/harness/qemu"
)

// TooLargeError says that a program is larger than what a guest can be brought.
type TooLargeError struct {
	Name        string
	Size, Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is a program of %d bytes, over the limit of %d", e.Name, e.Size, e.Limit)
}

// parcel puts a program that the initramfs does not hold into the machine's
// parcel and returns it, nil for one that it holds.
func (j Job) parcel(c *qemu.Config) (program []byte, err error) {
	if !j.Bring {
		return nil, nil
	}
	info, err := os.Stat(j.Program)
	if err != nil {
		return nil, &Error{Op: "read the program", Err: err}
	}
	if info.Size() > qemu.ParcelSize {
		return nil, &Error{Op: "bring the program to the guest", Err: &TooLargeError{Name: j.ProgramName, Size: info.Size(), Limit: qemu.ParcelSize}}
	}
	if program, err = os.ReadFile(j.Program); err != nil {
		return nil, &Error{Op: "read the program", Err: err}
	}
	fd, err := unix.MemfdCreate("parcel", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, &Error{Op: "bring the program to the guest", Err: err}
	}
	f := os.NewFile(uintptr(fd), "parcel")
	if _, err = f.Write(program); err == nil {
		err = f.Truncate(qemu.ParcelSize)
	}
	if err != nil {
		f.Close()
		return nil, &Error{Op: "bring the program to the guest", Err: err}
	}
	c.Parcel = f
	return program, nil
}
