#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>
#include <stdio.h>
int main(void) {
	for (int i = 0; i < 60; i++)
		if (fork() == 0)
			for (int n = 32000;;)
				if (semget(IPC_PRIVATE, n, 0600) < 0 && n > 1)
					n /= 2;
	while (wait(NULL) > 0)
		;
	return 0;
}
