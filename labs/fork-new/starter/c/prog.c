/*
 * This program has to make one child with fork() and wait for it. It has to print
 * three lines:
 *
 *   This is Child Process!     by the child
 *   This is Parent Process!    by the parent
 *   Child Complete!            by the parent, when the child has ended
 *
 * Both have to end with exit status 0. Print with write(), or flush before you fork:
 * otherwise the child gets a copy of the buffer, and its text is printed twice.
 */
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	/* Fork, print and wait here. */
	return 1;
}
