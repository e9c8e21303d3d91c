// Wants to be root in namespaces of its own, where it would be process 1 and could
// mount, trace and set the clock.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	if (unshare(CLONE_NEWUSER) == 0)
		printf("a user namespace\n");
	if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) == 0)
		printf("namespaces\n");
	if (mount("proc", "/tmp", "proc", 0, 0) == 0)
		printf("mounted\n");
	if (chroot("/tmp") == 0 || setuid(0) == 0 || sethostname("x", 1) == 0)
		printf("root\n");
	fflush(stdout);
	return 0;
}
