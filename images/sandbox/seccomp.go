package sandbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// auditArch names the host's architecture as seccomp sees it, 0 for one that no
// filter is made for.
func auditArch() uint32 {
	return map[string]uint32{
		"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64,
	}[runtime.GOARCH]
}

// noFork is a seccomp filter (Documentation/userspace-api/seccomp_filter.rst) in which
// a process makes threads and no other processes. clone3 is told to be missing, as
// its flags are in memory: C libraries then use clone.
func noFork() []unix.SockFilter {
	const nr, arch, flags = 0, 4, 16 // offsets in struct seccomp_data; the first argument's low word
	deny := func(errno uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno}
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(how uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, Jt: yes, Jf: no, K: k}
	}
	const foreign = 1 << 30 // the bit of the x32 calls of x86_64
	program := []unix.SockFilter{
		load(arch),
		jump(unix.BPF_JEQ, auditArch(), 1, 0),
		deny(uint32(unix.EPERM)), // another table of calls
		load(nr),
		jump(unix.BPF_JGE, foreign, 0, 1),
		deny(uint32(unix.EPERM)),
		jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1),
		deny(uint32(unix.ENOSYS)),
	}
	for _, call := range forks() {
		program = append(program, jump(unix.BPF_JEQ, call, 0, 1), deny(uint32(unix.EPERM)))
	}
	return append(program,
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 3),
		load(flags),
		jump(unix.BPF_JSET, unix.CLONE_THREAD, 1, 0),
		deny(uint32(unix.EPERM)),
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	)
}

// filterFile returns a pipe that a filter is read from.
func filterFile(program []unix.SockFilter) (*os.File, error) {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, program); err != nil {
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	_, err = w.Write(b.Bytes()) // less than a pipe holds
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	return r, nil
}
