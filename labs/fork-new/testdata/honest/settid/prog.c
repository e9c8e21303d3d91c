// Calls clone itself, with the flags that store the child's pid.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static pid_t stored;

int main(void)
{
	int status;
	pid_t child = syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &stored, 0, 0);

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (stored != child)
		return 1;
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
