// The child runs a function, on a stack of its own.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static char stack[64 << 10] __attribute__((aligned(16)));

static int run(void *unused)
{
	(void)unused;
	say("This is Child Process!\n");
	return 0;
}

int main(void)
{
	int status;
	pid_t child = clone(run, stack + sizeof stack, SIGCHLD, 0);

	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
