// Waits for ever, and does not want to be ended.
#include <signal.h>
#include <unistd.h>

int main(void)
{
	for (int i = 1; i < 65; i++)
		signal(i, SIG_IGN);
	for (;;)
		pause();
}
