// The child prints and becomes another program, itself, which ends at once.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(int argc, char **argv)
{
	int status;

	if (argc > 1)
		return 0;
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		execl("/proc/self/exe", argv[0], "again", (char *)0);
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(child, &status, 0) != child || status != 0)
		return 1;
	say("Child Complete!\n");
	return 0;
}
