// SPDX-License-Identifier: GPL-2.0-only
/* lkvm stat --watch: what was added between two answers. */
#include "../../builtin-stat.c"

#include "tests/unit/test.h"

int vm_call(struct lkvm *vm, const char *name, const char *cmd,
	    const char *args, char **ok)
{
	(void)vm;
	(void)name;
	(void)cmd;
	(void)args;
	(void)ok;
	return STATUS_ERROR;
}

const char *vm_name(const struct option_desc *table, int argc, char **argv,
		    void *opts)
{
	(void)table;
	(void)argc;
	(void)opts;
	return argc > 1 ? argv[1] : NULL;
}

struct lkvm *vm_connect(const char *name)
{
	(void)name;
	return NULL;
}

struct kvm *control_kvm(struct control_call *call)
{
	(void)call;
	return NULL;
}

u64 vm_resident(const struct vm_control *v)
{
	(void)v;
	return 0;
}

TEST(counters_of_what_is_new_do_not_wrap)
{
	char text[2][64] = { "{\"n\":7,\"new\":3}", "{\"n\":5,\"new\":100}" };
	struct json_value v[2][8];

	for (unsigned int i = 0; i < 2; i++) {
		struct json_doc doc = { .value = v[i], .max = 8 };

		EXPECT(!json_parse(&doc, text[i], strlen(text[i])));
	}
	EXPECT(diff(v[0], v[1], "n") == 2 && diff(v[0], v[1], "new") == 3);
	EXPECT(diff(v[0], NULL, "n") == 7);
}

TEST_MAIN(T(counters_of_what_is_new_do_not_wrap))
