/*
 * The program of current-switch in C. The parent waits for a byte in a pipe; the child
 * waits until a timer has run out, and writes it. Then both compute, and neither gives
 * up the CPU by itself.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

int main(void)
{
	/* Memory that both processes have. */
	atomic_int *flags = mmap(NULL, 2 * sizeof *flags, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct timeval patience = { .tv_usec = 20000 };
	int ends[2], sockets[2];
	char byte = 0;
	cpu_set_t first; /* on another CPU the child would take nothing from its parent */

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	check(sched_setaffinity(0, sizeof first, &first) == 0, "sched_setaffinity");
	check(flags != MAP_FAILED, "mmap");
	check(pipe(ends) == 0, "pipe");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0, "socketpair");
	check(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0,
	      "setsockopt");

	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		recv(sockets[0], &byte, 1, 0); /* nothing comes: a timer ends this wait */
		check(write(ends[1], &byte, 1) == 1, "write");
		while (!atomic_load(&flags[0]))
			;
		atomic_store(&flags[1], 1);
		_exit(0);
	}
	check(read(ends[0], &byte, 1) == 1, "read");
	for (int i = 0; i < 2000000; i++) /* some ticks long, while the child computes too */
		atomic_load(&flags[1]);
	atomic_store(&flags[0], 1);
	while (!atomic_load(&flags[1]))
		;
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
	puts("Both have had the CPU.");
	return 0;
}
