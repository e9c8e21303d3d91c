/*
 * The program of fork-new in C. It forks; the child prints a line and exits, and the
 * parent prints a line, waits for the child, and prints another one.
 *
 * It prints with write(): the buffer of printf() would be copied by fork, and a text
 * that is still in it would be printed by both processes.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *line)
{
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(1);
}

int main(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return 1;
	if (pid == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	if (waitpid(pid, NULL, 0) != pid)
		return 1;
	say("Child Complete!\n");
	return 0;
}
