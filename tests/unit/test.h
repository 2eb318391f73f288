/* SPDX-License-Identifier: GPL-2.0-only */
/* A unit test is a function; a program is a list of them; output is KTAP. */
#ifndef KVM__TEST_H
#define KVM__TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The thread sanitizer makes programs several times as slow. */
#if defined(__SANITIZE_THREAD__)
#define TEST_SECONDS 170
#elif defined(__has_feature)
#define TEST_SECONDS (__has_feature(thread_sanitizer) ? 170 : 120)
#else
#define TEST_SECONDS 120
#endif

static inline bool test_named(const char *name, char *const *names)
{
	bool others = true;

	for (char *const *s = names; *s; s++) {
		bool not = **s == '-';

		if (!strcmp(*s + not, name))
			return !not;
		others = others && not;
	}
	return others;
}

/* @names: up to NULL; of those that are to run, or, with "-" in front, that are not */
static inline int test_run(const struct test_case *list, unsigned int nr, char *const *names)
{
	unsigned int bad = 0, n = 0, nr_named = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(TEST_SECONDS);
	for (unsigned int i = 0; i < nr; i++)
		nr_named += test_named(list[i].name, names);
	printf("KTAP version 1\n1..%u\n", nr_named);
	for (unsigned int i = 0; i < nr; i++) {
		struct test t = { 0 };

		if (!test_named(list[i].name, names))
			continue;
		list[i].run(&t);
		printf("%s %u %s\n", t.failures ? "not ok" : "ok", ++n, list[i].name);
		bad += !!t.failures;
	}
	return bad || !n ? 1 : 0;
}

#define TEST_MAIN(...) \
	int main(int argc, char **argv) \
	{ \
		static const struct test_case list[] = { __VA_ARGS__ }; \
		(void)argc; \
		exit(test_run(list, ARRAY_SIZE(list), argv + 1)); \
	}

#endif
