/*
 * The program of init-panic in C. It is the first process of its guest, and exits.
 */
#include <unistd.h>

int main(void)
{
	_exit(11); /* glibc's _exit makes the system call exit_group */
}
