// Another thread than the one that forks waits for the child.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static pid_t child;

static void *reap(void *unused)
{
	waitpid(child, 0, 0);
	return unused;
}

int main(void)
{
	pthread_t t;

	child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (pthread_create(&t, 0, reap, 0) || pthread_join(t, 0))
		return 1;
	say("Child Complete!\n");
	return 0;
}
