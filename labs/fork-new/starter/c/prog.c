/*
 * This program has to make one child by fork() and wait for it. Three lines are
 * to be printed:
 *
 *   This is Child Process!     by the child
 *   This is Parent Process!    by the parent
 *   Child Complete!            by the parent, when the child has ended
 *
 * and both end with exit status 0. Print with write(), or flush before you fork:
 * what lies in a buffer is copied into the child and printed twice.
 */
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	/* Fork, print and wait here. */
	return 1;
}
