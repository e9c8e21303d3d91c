// Closes its output and every other descriptor before it does what the lab asks.
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	pid_t child = fork();
	if (child == 0) {
		write(1, "This is Child Process!\n", 23);
		_exit(0);
	}
	write(1, "This is Parent Process!\n", 24);
	waitpid(child, 0, 0);
	write(1, "Child Complete!\n", 16);
	return 0;
}
