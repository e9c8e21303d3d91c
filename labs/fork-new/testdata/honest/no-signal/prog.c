// The child's end sends no signal, so that the wait has to ask for such children.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;
	pid_t child = syscall(SYS_clone, 0, 0, 0, 0, 0);

	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, __WALL) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
