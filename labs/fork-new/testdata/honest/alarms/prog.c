// Signals arrive in the call of fork too, which the kernel then starts again.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

static volatile sig_atomic_t rung;

static void ring(int signal)
{
	struct itimerval never = { { 0, 0 }, { 0, 0 } };

	(void)signal;
	if (++rung == 8)
		setitimer(ITIMER_REAL, &never, 0);
}

int main(void)
{
	int status;
	struct sigaction act = { .sa_handler = ring, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };

	sigaction(SIGALRM, &act, 0);
	setitimer(ITIMER_REAL, &often, 0);
	while (rung < 3)
		;
	pid_t child = fork();
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
