/* SPDX-License-Identifier: GPL-2.0-only */
/* A unit test is a function; a program is a list of them; output is KTAP. */
#ifndef KVM__TEST_H
#define KVM__TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kvm/types.h"

struct test {
	unsigned int failures;
};

struct test_case {
	const char *name;
	void (*run)(struct test *t);
};

#define TEST(name) static void name(struct test *t)
#define T(name) { #name, name }

#define EXPECT(cond) \
	test_expect(t, !!(cond), #cond, __FILE__, __LINE__)

static inline void test_expect(struct test *t, bool ok, const char *what,
			       const char *file, int line)
{
	if (ok)
		return;
	t->failures++;
	printf("# %s:%d: expected: %s\n", file, line, what);
}

static inline int test_run(const struct test_case *list, unsigned int nr)
{
	unsigned int bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(120);
	printf("KTAP version 1\n1..%u\n", nr);
	for (unsigned int i = 0; i < nr; i++) {
		struct test t = { 0 };

		list[i].run(&t);
		printf("%s %u %s\n", t.failures ? "not ok" : "ok", i + 1,
		       list[i].name);
		bad += !!t.failures;
	}
	return bad ? 1 : 0;
}

#define TEST_MAIN(...) \
	int main(void) \
	{ \
		static const struct test_case list[] = { __VA_ARGS__ }; \
		exit(test_run(list, ARRAY_SIZE(list))); \
	}

#endif
