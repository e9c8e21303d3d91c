/*
 * The program has to make two children, one after the other, and the thread that makes
 * them has to wait for each. In this order, it has to
 *
 *   1. set its priority for input and output: ioprio_set(IOPRIO_WHO_PROCESS = 1, 0,
 *      2 << 13 | 4), which gives the task an io_context;
 *   2. make the first child by clone with no flag but SIGCHLD, and wait for it;
 *   3. sleep for two tenths of a second;
 *   4. make the second child by clone with ${flags(variant.flags + SIGCHLD)}, and wait for it;
 *   5. print the line  Two children made.  and end with exit status 0.
 *
 * The children end at once, with exit status 0.
 *
 * The C library's clone() gives a child a stack of its own. Make the system call
 * itself: syscall(SYS_clone, flags, 0, 0, 0, 0) returns twice, as fork() does.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	/* Do it here. */
	return 1;
}
