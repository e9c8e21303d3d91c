// Starts itself as another program, with posix_spawn.
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

extern char **environ;

int main(int argc, char **argv)
{
	pid_t child;
	char *again[] = { argv[0], "again", 0 };

	if (argc > 1) {
		say("This is Child Process!\n");
		return 0;
	}
	if (posix_spawn(&child, "/proc/self/exe", 0, 0, again, environ) != 0)
		return 1;
	say("This is Parent Process!\n");
	waitpid(child, 0, 0);
	say("Child Complete!\n");
	return 0;
}
