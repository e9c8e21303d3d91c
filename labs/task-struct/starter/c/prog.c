/*
 * The program has to take these steps in this order, all but the last in its first thread:
 *
 *   1. change its working directory to /proc/sys;
 *   2. change its name to "${variant.name}": prctl(PR_SET_NAME, …);
 *   3. open /dev/null with open(), and leave it open;
 *   4. block ${signal(variant.signal)} (signal ${variant.signal}) and send it to itself with kill(), so that it
 *      stays pending;
 *   5. make one thread that ends at once, and join it;
 *   6. fork twice: both children sleep and never end by themselves;
 *   7. sleep for 20 milliseconds, so that they are asleep;
 *   8. kill the first child with SIGKILL and wait for it, then do the same with the second;
 *   9. print the line  The tour is over.  and end with exit status 0.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	/* Do it here. */
	return 1;
}
