/* A small program with what kernels' debug information has: functions inlined
 * into others, location lists, arguments that are known at the entry alone, and
 * scopes. Its tests compile it with -O2 -g and compare with gdb. */

typedef unsigned long word;

enum colour { RED, GREEN = 7, BLUE };

struct pair {
	long first;
	int second;
	const char *name;
};

volatile long sink;
struct pair table[3] = { { 1, 2, "one" }, { 3, 4, "two" }, { 5, 6, "three" } };

__attribute__((noinline)) long stop_here(long value, struct pair *p, enum colour c)
{
	sink += value;
	return p->first + c;
}

static inline __attribute__((always_inline)) long scaled(struct pair *p, int factor)
{
	long product = p->first * factor;
	for (int i = 0; i < factor; i++) {
		long step = product + i;
		product += stop_here(step, p, GREEN);
	}
	return product;
}

static inline __attribute__((always_inline)) long twice(struct pair *p, word mask)
{
	short small = (short)(p->second & mask);
	long a = scaled(p, small + 1);
	sink += small;
	return a + small;
}

__attribute__((noinline)) long outer(int index, unsigned char flag, long unused)
{
	struct pair local = table[index];
	long total = 0;
	_Bool odd = flag & 1;
	local.first += index;
	total = twice(&local, 0xff);
	sink += total + odd;
	return total + flag;
}

int main(int argc, char **argv)
{
	long r = outer(argc, 'a', 12);
	return (int)(r + (sink & 1)) & 0x7f;
}
