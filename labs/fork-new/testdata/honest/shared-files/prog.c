// The child shares the table of open files and the working directory.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;
	pid_t child = syscall(SYS_clone, CLONE_FILES | CLONE_FS | CLONE_SYSVSEM | SIGCHLD, 0, 0, 0, 0);

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
