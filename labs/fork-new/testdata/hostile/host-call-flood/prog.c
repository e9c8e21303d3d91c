// Makes the system call with which the agent calls the host without end, in the
// hope that the host has enough of it before the program's time is over.
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	for (;;)
		syscall(SYS_sethostname, 0, -1l);
}
