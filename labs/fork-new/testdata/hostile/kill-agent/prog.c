// Goes for the agent: signals, ptrace, its memory, its files. Then for everyone.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
	char buf[64];
	struct iovec local = {buf, sizeof buf}, remote = {(void *)0x400000, sizeof buf};

	for (int i = 1; i < 65; i++)
		kill(1, i);
	if (ptrace(PTRACE_ATTACH, 1, 0, 0) == 0 || ptrace(PTRACE_SEIZE, 1, 0, 0) == 0)
		printf("traced the agent\n");
	if (process_vm_readv(1, &local, 1, &remote, 1, 0) > 0)
		printf("read the agent\n");
	if (open("/proc/1/mem", O_RDWR) >= 0 || open("/proc/1/environ", O_RDONLY) >= 0)
		printf("opened the agent\n");
	for (int i = 0; i < 64; i++) {
		snprintf(buf, sizeof buf, "/proc/1/fd/%d", i);
		if (open(buf, O_RDWR) >= 0)
			printf("opened the agent's %d\n", i);
	}
	fflush(stdout);
	kill(-1, SIGKILL);
	return 0;
}
