// Takes memory that outlives its process and that no killing of processes frees.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

int main(void)
{
	long mb = 0;

	for (int i = 0; i < 2048; i++) {
		int id = shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
		char *p = id < 0 ? (char *)-1 : shmat(id, 0, 0);

		if (p == (char *)-1)
			break;
		memset(p, 1, 1 << 20);
		shmdt(p);
		mb++;
	}
	printf("took %s\n", mb > 64 ? "much memory for ever" : "little");
	return 0;
}
