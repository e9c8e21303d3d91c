// Asks for children that it does not have, for the first child while it lives, and after
// it has been released.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* state returns the letter that ps shows for a process, or "none". */
static const char *state(pid_t pid)
{
	static char line[512], letter[2];
	char path[32];

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return "none";
	char *after = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
	fclose(f);
	if (after == NULL || strlen(after) < 3)
		return "none";
	letter[0] = after[2];
	return letter;
}

int main(void)
{
	sigset_t ended;
	siginfo_t info;
	int signo, status, hold[2];
	char byte;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	if (wait(NULL) != -1 || pipe(hold) < 0)
		return 1;
	pid_t first = fork();
	if (first == 0) {
		/* It lives until it has been asked for. */
		close(hold[1]);
		if (read(hold[0], &byte, 1) < 0)
			_exit(1);
		_exit(5);
	}
	if (waitpid(first, &status, WNOHANG) != 0 || waitpid(-1, &status, WNOHANG) != 0)
		return 2;
	close(hold[0]);
	close(hold[1]);
	sigwait(&ended, &signo);
	puts("SIGCHLD: the first child has ended.");
	printf("Its state before the wait: %s\n", state(first));
	if (waitpid(getpid(), NULL, WNOHANG) != -1 || waitid(P_PID, first, &info, WEXITED | WNOWAIT) != 0)
		return 3;
	if (wait(&status) != first)
		return 4;
	if (waitpid(first, NULL, 0) != -1 || wait(NULL) != -1)
		return 5;
	printf("The wait returned its exit status: %d\n", WEXITSTATUS(status));
	printf("Its state after the wait: %s\n", state(first));
	fflush(stdout);
	pid_t second = fork();
	if (second == 0)
		_exit(6);
	sigwait(&ended, &signo);
	puts("SIGCHLD: the second child has ended.");
	printf("Its state, with no wait: %s\n", state(second));
	return 0;
}
