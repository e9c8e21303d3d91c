// Debugs a child of its own: steps it, stops it at its system calls and sets
// breakpoints in the processor's debug registers.
#include <stddef.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int seen;

int main(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
			_exit(1);
		raise(SIGSTOP);
		for (int i = 0; i < 100; i++)
			seen++;
		if (fork() == 0)
			_exit(0);
		_exit(0);
	}
	waitpid(child, &status, 0);
#if defined(__x86_64__)
	ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[0]), (unsigned long)&seen);
	ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[7]), 0xd0001UL);
#endif
	for (int i = 0; !WIFEXITED(status) && i < 3000; i++) {
		int how = i < 1000 ? PTRACE_SINGLESTEP : i < 1500 ? PTRACE_SYSCALL : PTRACE_CONT;

		if (ptrace(how, child, 0, 0) != 0 || waitpid(child, &status, 0) < 0)
			break;
	}
	return 0;
}
