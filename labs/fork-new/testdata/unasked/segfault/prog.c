// The child prints and dies of a bad address.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		*(volatile int *)8 = 1;
	}
	say("This is Parent Process!\n");
	waitpid(child, 0, 0);
	say("Child Complete!\n");
	return 0;
}
