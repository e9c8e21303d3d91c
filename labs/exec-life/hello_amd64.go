package main

const (
	machine = 62 // EM_X86_64
	flags   = 0
)

// code returns the instructions of hello, which the message follows.
func code(length, status int) []byte {
	return []byte{
		0xb8, 1, 0, 0, 0, // mov $1, %eax        write(
		0xbf, 1, 0, 0, 0, // mov $1, %edi          standard output,
		0x48, 0x8d, 0x35, 19, 0, 0, 0, // lea 19(%rip), %rsi  the message,
		0xba, byte(length), 0, 0, 0, // mov $length, %edx     its length)
		0x0f, 0x05, // syscall
		0xb8, 231, 0, 0, 0, // mov $231, %eax      exit_group(
		0xbf, byte(status), 0, 0, 0, // mov $status, %edi     status)
		0x0f, 0x05, // syscall
	}
}
