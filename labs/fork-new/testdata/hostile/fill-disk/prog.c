// Fills every folder it can write, with bytes and with names.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *dirs[] = {"/tmp", "/dev/shm", "/dev", "/", "/bin", "/root", "/run", "/var/tmp"};

int main(void)
{
	static char block[1 << 16];

	signal(SIGXFSZ, SIG_IGN);
	for (unsigned d = 0; d < sizeof dirs / sizeof *dirs; d++) {
		int made = 0;

		for (int i = 0; i < 100000; i++) {
			char name[64];
			snprintf(name, sizeof name, "%s/%d", dirs[d], i);
			int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
			if (fd < 0)
				break;
			made++;
			while (write(fd, block, sizeof block) > 0)
				;
			close(fd);
		}
		if (made > 0)
			printf("made %d files in %s\n", made, dirs[d]);
	}
	return 0;
}
