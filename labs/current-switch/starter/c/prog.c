/*
 * This program has to make the kernel switch between two tasks in two ways. In this
 * order, it has to
 *
 *   1. bind itself to the first CPU (sched_setaffinity), and make a pipe, and memory
 *      that both tasks have;
 *   2. make one child with fork();
 *   3. read ${variant.bytes} bytes from the pipe, which is empty, by one call of read();
 *   4. when it has them, compute in user space, without a system call, for some ticks
 *      of the timer;
 *   5. let the child end, wait for it, print the line  Both have had the CPU.  and end
 *      with exit status 0.
 *
 * The child has to wait until a timer of the kernel has run out, such as that of
 * SO_RCVTIMEO on a socket to which nobody writes. Then it has to write ${variant.bytes} bytes to the
 * pipe by one call of write(), and compute in user space until its parent lets it end.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	/* Do it here. */
	return 1;
}
