// Takes the kernel's memory and not its own: what waits in sockets and pipes is on
// no process's account.
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	static char block[1 << 16];

	for (int i = 0; i < 6; i++)
		fork();
	for (;;) {
		int s[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) != 0)
			break;
		while (send(s[0], block, sizeof block, MSG_DONTWAIT) > 0)
			;
	}
	while (wait(0) > 0)
		;
	return 0;
}
