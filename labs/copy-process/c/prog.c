/*
 * The program of copy-process in C. It makes two children, one after the other. The first
 * is made by a plain fork, and the second with flags that say what it shares with its
 * parent. Between the two it waits until the kernel has freed the first child's memory.
 *
 * clone() of the C library gives a child a stack of its own, so the system call is made
 * itself, as fork() does.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A child that ends at once. */
static int child(unsigned long flags)
{
	pid_t pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

int main(void)
{
	const struct timespec pause = { .tv_nsec = 200000000 };

	/* A priority for input and output, which the kernel keeps in an io_context. */
	if (syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4) != 0)
		return 1;
	if (!child(0))
		return 1;
	nanosleep(&pause, NULL);
	if (!child(CLONE_FILES))
		return 1;
	puts("Two children made.");
	return 0;
}
