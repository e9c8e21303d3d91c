/*
 * This program has to make one child with fork(), and the thread that forks has to
 * wait for it. It has to print three lines:
 *
 *   This is Child Process!     by the child
 *   This is Parent Process!    by the parent
 *   Child Complete!            by the parent, after the line of the child
 *
 * The child has to end with exit status ${variant.exit_status}, and the parent with exit status 0. Threads,
 * and processes that other calls make, do not count. Print with write(), or flush before you fork: otherwise the child
 * gets a copy of the buffer, and its text is printed twice.
 */
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	/* Fork, print and wait here. */
	return 1;
}
