#include <string.h>
#include <unistd.h>

int main(void)
{
	static char line[4096];

	memset(line, 'A', sizeof line);
	line[sizeof line - 1] = '\n';
	for (;;)
		if (write(1, line, sizeof line) < 0 && write(2, line, sizeof line) < 0)
			return 1;
}
