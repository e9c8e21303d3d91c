/* The program of first-look in C: it asks for the pid of its parent, and prints it. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	pid_t parent = getppid();

	printf("My parent has pid %d.\n", (int)parent);
	return 0;
}
