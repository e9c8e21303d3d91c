/*
 * The program of exec-life in C. It does what a shell does with a command: it makes a
 * process, the process executes another program, and the shell waits for its end.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE "Hello from the new program.\n"
#define LENGTH (sizeof MESSAGE - 1)
#define BASE 0x400000 /* where the file is mapped */

/*
 * hello is a whole program: an ELF executable of one segment that prints its message
 * and exits with status 7. It has one thread, no libraries and no start-up code, so
 * its two system calls are all that happens in it.
 */
#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define FLAGS 0
#define CODE {                                                       \
	0xb8, 1, 0, 0, 0,             /* mov $1, %eax          write(            */ \
	0xbf, 1, 0, 0, 0,             /* mov $1, %edi            standard output, */ \
	0x48, 0x8d, 0x35, 19, 0, 0, 0, /* lea 19(%rip), %rsi     the message,     */ \
	0xba, LENGTH, 0, 0, 0,        /* mov $LENGTH, %edx       its length)      */ \
	0x0f, 0x05,                   /* syscall                                  */ \
	0xb8, 231, 0, 0, 0,           /* mov $231, %eax        exit_group(        */ \
	0xbf, 7, 0, 0, 0,             /* mov $7, %edi            7)               */ \
	0x0f, 0x05,                   /* syscall                                  */ \
}
typedef unsigned char instruction;
#define INSTRUCTIONS 36
#elif defined(__riscv)
#define MACHINE EM_RISCV
#define FLAGS EF_RISCV_FLOAT_ABI_DOUBLE
#define CODE {                                                       \
	0x00100513,               /* li a0, 1            write(standard output, */ \
	0x00000597,               /* auipc a1, 0                                */ \
	0x02058593,               /* addi a1, a1, 32       the message,         */ \
	0x00000613 | LENGTH << 20, /* li a2, LENGTH        its length)          */ \
	0x04000893,               /* li a7, 64                                  */ \
	0x00000073,               /* ecall                                      */ \
	0x00700513,               /* li a0, 7            exit_group(7)          */ \
	0x05e00893,               /* li a7, 94                                  */ \
	0x00000073,               /* ecall                                      */ \
}
typedef unsigned int instruction;
#define INSTRUCTIONS 9
#endif

static const struct {
	Elf64_Ehdr file;
	Elf64_Phdr segment;
	instruction code[INSTRUCTIONS];
	char message[LENGTH];
} hello = {
	.file = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = MACHINE,
		.e_version = EV_CURRENT,
		.e_entry = BASE + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), /* right behind the headers */
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_flags = FLAGS,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	},
	.segment = {
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_vaddr = BASE,
		.p_paddr = BASE,
		.p_filesz = sizeof hello,
		.p_memsz = sizeof hello,
		.p_align = 0x1000,
	},
	.code = CODE,
	.message = MESSAGE,
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(void)
{
	/*
	 * The name is on the stack, which fork copies. A string literal is in a page of the
	 * program's file, and the child maps such a page only when it first uses it: the lab,
	 * which looks when execve begins, could not read the name there.
	 */
	char command[] = "/tmp/hello";
	char *argv[] = { command, NULL }, *envp[] = { NULL };
	int status, file = open(command, O_WRONLY | O_CREAT | O_TRUNC, 0755);

	if (file < 0 || write(file, &hello, sizeof hello) != sizeof hello || close(file) < 0)
		fail(command);

	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		execve(command, argv, envp);
		_exit(127); /* execve returns only when it fails */
	}
	if (waitpid(pid, &status, 0) < 0)
		fail("waitpid");
	printf("%s ended with status %d.\n", command, WEXITSTATUS(status));
	return 0;
}
