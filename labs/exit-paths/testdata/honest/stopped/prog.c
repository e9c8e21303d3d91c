// Sends signals that the second child ignores, and stops it, before it kills it.
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status, ends[2];
	char byte;

	pid_t pid = fork();
	if (pid == 0)
		_exit(7);
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	printf("The first child exited with status %d.\n", WEXITSTATUS(status));
	fflush(stdout);
	if (pipe(ends) < 0)
		return 2;
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) < 0)
		return 3;
	if (kill(pid, SIGCHLD) < 0 || kill(pid, SIGWINCH) < 0 || kill(pid, SIGURG) < 0)
		return 4;
	if (kill(pid, SIGSTOP) < 0 || waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		return 6;
	if (kill(pid, SIGKILL) < 0 || waitpid(pid, &status, 0) != pid)
		return 5;
	printf("The second child was ended by signal %d.\n", WTERMSIG(status));
	return 0;
}
