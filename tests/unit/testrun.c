// SPDX-License-Identifier: GPL-2.0-only
/* Tests one after the other in one machine: what is left of the one before. */

#include <sys/stat.h>

#include "../../builtin-testrun.c"

#include "tests/unit/test.h"

/* What it calls and these tests do not need */
void file_name(char *out, const char *name)
{
	memcpy(out, name, strlen(name) + 1);
}

void test_line(const struct test_run *run, const char *collection,
	       const struct result *t, unsigned int tries)
{
	(void)run;
	(void)collection;
	(void)t;
	(void)tries;
}

off_t log_slice(const char *dir, const char *name, const char *from, off_t begin)
{
	(void)dir;
	(void)name;
	(void)from;
	return begin;
}

u32 log_check(const char *dir, off_t begin, const char *kernel, u32 wanted, char *first)
{
	(void)dir;
	(void)begin;
	(void)kernel;
	(void)wanted;
	(void)first;
	return 0;
}

int child_start(struct test_child *c, const struct test_run *run,
		const char *dir, const char *const *args, bool pipes,
		struct report *r)
{
	(void)c;
	(void)run;
	(void)dir;
	(void)args;
	(void)pipes;
	return report_error(r, 0, "none");
}

void child_wait(struct test_child *c, const char *dir, struct test_end *end)
{
	(void)c;
	(void)dir;
	(void)end;
}

unsigned int child_overdue(const struct test_child *c, unsigned int step,
			   const char *dir)
{
	(void)c;
	(void)step;
	(void)dir;
	return 0;
}

static u64 waited_ms(const char *path, off_t begin)
{
	u64 from = now_ns();

	log_wait(path, begin);
	return (now_ns() - from) / 1000000;
}

TEST(end_in_a_log_is_of_this_test)
{
	static const char end[] = "[ 1.0] lkvm: end\n";
	char path[] = "/tmp/lkvm-testrun-XXXXXX", text[5000];
	int fd = mkstemp(path);

	memset(text, '.', sizeof(text));
	EXPECT(write(fd, end, sizeof(end) - 1) == sizeof(end) - 1);
	/* It is waited for until there are no more tries. */
	EXPECT(waited_ms(path, sizeof(end) - 1) >= LOG_TRIES * 10);
	EXPECT(write(fd, text, sizeof(text)) == sizeof(text));
	EXPECT(write(fd, end, sizeof(end) - 1) == sizeof(end) - 1);
	EXPECT(waited_ms(path, sizeof(end) - 1) < LOG_TRIES * 10);
	EXPECT(waited_ms(path, 0) < LOG_TRIES * 10);
	close(fd);
	unlink(path);
}

TEST(late_end_is_not_the_next_tests)
{
	char name[] = "t", collection[] = "c", dir[] = "/tmp/lkvm-testrun-XXXXXX";
	struct test_item item = { .collection = collection, .name = name, .limit = 5 };
	static struct test_run run;
	static struct test_vm vm;
	char path[TEST_PATH];
	struct report r = { "" };

	EXPECT(mkdtemp(dir));
	snprintf(run.logs, sizeof(run.logs), "%s", dir);
	snprintf(path, sizeof(path), "%s/c", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/c/t", dir);
	mkdir(path, 0700);
	vm.run = &run;
	vm.child.in = open("/dev/null", O_WRONLY | O_CLOEXEC);
	vm.overdue = 2;
	/* But what the kernel said between them is. */
	vm.used = true;
	vm.klog_at = 1;
	EXPECT(!item_start(&vm, &item, &r));
	EXPECT(!vm.overdue && vm.item == &item && vm.deadline && vm.klog_at == 1);
	fclose(vm.output);
	close(vm.child.in);
	strcat(path, "/output");
	EXPECT(!unlink(path));
	for (int i = 0; i < 3; i++) {
		*strrchr(path, '/') = 0;
		EXPECT(!rmdir(path));
	}
}

TEST_MAIN(T(end_in_a_log_is_of_this_test), T(late_end_is_not_the_next_tests))
