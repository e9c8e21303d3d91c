// Reaps the child in the handler of SIGCHLD.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static volatile sig_atomic_t reaped;

static void ended(int signal)
{
	int status;

	(void)signal;
	if (waitpid(-1, &status, 0) > 0 && status == 0)
		reaped = 1;
}

int main(void)
{
	sigset_t chld, old;
	struct sigaction act = { .sa_handler = ended };

	sigaction(SIGCHLD, &act, 0);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	while (!reaped)
		sigsuspend(&old);
	say("Child Complete!\n");
	return 0;
}
