// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees of files as streams: there and back, and streams that want to be
 * somewhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "kvm/tree.h"
#include "tests/unit/dir.h"
#include "tests/unit/test.h"

struct fixture {
	struct tree t;
	char dir[64];
	unsigned int complaints;
	int err;
	char path[4096];
};

static void complain(void *opaque, const char *path, int err)
{
	struct fixture *f = opaque;

	f->complaints++;
	f->err = err;
	snprintf(f->path, sizeof(f->path), "%s", path);
}

static struct fixture *setup(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	dir_temp(f->dir, sizeof(f->dir));
	if (chdir(f->dir))
		exit(1);
	f->t.complain = complain;
	f->t.opaque = f;
	return f;
}

static void teardown(struct fixture *f)
{
	if (chdir("/") || dir_remove(f->dir))
		perror(f->dir);
	free(f);
}

static void put_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static bool is_file(const char *path, const char *text)
{
	char have[256] = "";
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(have, 1, sizeof(have) - 1, f) : 0;

	if (f)
		fclose(f);
	return f && n == strlen(text) && !strcmp(have, text);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_mode & 07777;
}

/** struct bytes - a stream as it would come out of a guest */
struct bytes {
	u8 d[4096];
	size_t len;
};

static void put(struct bytes *b, const void *d, size_t len)
{
	memcpy(b->d + b->len, d, len);
	b->len += len;
}

static void put_length(struct bytes *b, u32 len)
{
	__le32 v = htole32(len);

	put(b, &v, sizeof(v));
}

/* Types in the order of their numbers, 0 and 6 among them */
static void put_word(struct bytes *b, const char *word, size_t len)
{
	static const char types[] = "0FDLUE6";
	u8 head[4] = { strchr(types, *word) - types, len - 1, 0xed, 1 };

	put(b, head, sizeof(head));
	for (size_t i = 1; i < len; i++)
		put(b, word[i] == '@' ? "" : &word[i], 1);
}

/*
 * Words with blanks between them: a type and a name, in which @ is a NUL, or =
 * and a piece, * for one that is cut, + for one of 4096 bytes
 */
static struct bytes stream_of(const char *text)
{
	struct bytes b = { .len = 0 };

	for (size_t len; *text; text += len + (text[len] == ' ')) {
		len = strcspn(text, " ");
		if (*text == '*' || *text == '+') {
			put_length(&b, *text == '*' ? UINT32_MAX : 4096);
		} else if (*text == '=') {
			put_length(&b, len - 1);
			put(&b, text + 1, len - 1);
		} else {
			put_word(&b, text, len);
		}
	}
	return b;
}

/* Return: as tree_receive() */
static int receive_bytes(struct fixture *f, const void *d, size_t len,
			 const char *to, const char *from)
{
	char name[] = "/tmp/lkvm-stream-XXXXXX";
	int err;

	memset(&f->t.failed, 0, sizeof(f->t) - offsetof(struct tree, failed));
	f->complaints = 0;
	f->t.fd = mkostemp(name, O_CLOEXEC);
	unlink(name);
	if (write(f->t.fd, d, len) != (ssize_t)len)
		exit(1);
	lseek(f->t.fd, 0, SEEK_SET);
	err = tree_receive(&f->t, to, from);
	close(f->t.fd);
	return err;
}

static int receive(struct fixture *f, const char *text, const char *to,
		   const char *from)
{
	struct bytes b = stream_of(text);

	return receive_bytes(f, b.d, b.len, to, from);
}

static void *send_main(void *arg)
{
	struct tree *t = arg;
	int fd = t->fd;

	tree_send(t, "from");
	close(fd);
	return NULL;
}

/* From "from" to @to */
static int copy(struct fixture *f, const char *to)
{
	struct tree *sender = calloc(1, sizeof(*sender));
	pthread_t thread;
	int fd[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		exit(1);
	*sender = (struct tree){
		.fd = fd[1], .complain = complain, .opaque = f,
	};
	memset(&f->t.failed, 0, sizeof(f->t) - offsetof(struct tree, failed));
	f->t.fd = fd[0];
	pthread_create(&thread, NULL, send_main, sender);
	err = tree_receive(&f->t, to, NULL);
	close(fd[0]);
	pthread_join(thread, NULL);
	free(sender);
	return err;
}

TEST(a_file_is_copied_with_its_mode)
{
	struct fixture *f = setup();

	put_file("from", "text", 0751);
	EXPECT(!copy(f, "to") && is_file("to", "text") && mode_of("to") == 0751);
	chmod("from", 06755);
	EXPECT(!copy(f, "to") && mode_of("to") == 0755);
	put_file("to", "a file that is longer", 0600);
	EXPECT(!copy(f, "to") && is_file("to", "text"));
	mkdir("into", 0755);
	EXPECT(!copy(f, "into") && is_file("into/from", "text"));
	EXPECT(!copy(f, "into/") && !f->complaints);
	teardown(f);
}

TEST(a_tree_is_copied)
{
	struct fixture *f = setup();
	char target[32] = "";

	mkdir("from", 0755);
	mkdir("from/a", 0755);
	mkdir("from/a/b", 0755);
	put_file("from/a/b/file", "text", 0640);
	put_file("from/zero", "", 0600);
	if (symlink("a/b", "from/link"))
		exit(1);
	chmod("from/a/b", 0500);
	EXPECT(!copy(f, "to") && is_file("to/a/b/file", "text"));
	EXPECT(mode_of("to/a/b") == 0500 && mode_of("to/zero") == 0600);
	EXPECT(readlink("to/link", target, sizeof(target) - 1) == 3 &&
	       !strcmp(target, "a/b"));
	chmod("from/a/b", 0700);
	chmod("to/a/b", 0700);
	/* Added to, under its own name */
	put_file("to/mine", "mine", 0600);
	EXPECT(!copy(f, "to") && is_file("to/from/a/b/file", "text") &&
	       is_file("to/mine", "mine"));
	EXPECT(!f->complaints);
	teardown(f);
}

TEST(a_link_is_not_what_was_asked_for)
{
	struct fixture *f = setup();

	EXPECT(receive(f, "Lto =elsewhere", "to", NULL) == -EPROTO);
	EXPECT(receive(f, "Lto =elsewhere E", ".", "x/to") == -EPROTO);
	EXPECT(access("to", F_OK) && errno == ENOENT);
	teardown(f);
}

TEST(modes_go_through_the_mask)
{
	struct fixture *f = setup();

	put_file("from", "text", 0777);
	f->t.mask = 027;
	EXPECT(!copy(f, "to") && mode_of("to") == 0750);
	teardown(f);
}

TEST(what_is_no_file_is_left_out)
{
	struct fixture *f = setup();

	mkdir("from", 0755);
	mkfifo("from/fifo", 0600);
	put_file("from/file", "text", 0600);
	copy(f, "to");
	EXPECT(f->complaints == 1 && f->err == ENODEV &&
	       !strcmp(f->path, "from/fifo"));
	EXPECT(is_file("to/file", "text") && access("to/fifo", F_OK));
	teardown(f);
}

TEST(what_is_there_and_is_no_file_stays)
{
	struct fixture *f = setup();

	put_file("from", "text", 0600);
	mkfifo("fifo", 0600);
	EXPECT(copy(f, "fifo") && f->complaints == 1 && f->err == EEXIST);
	EXPECT(copy(f, "no/such") && f->err == ENOENT);
	EXPECT(copy(f, "from/x") && f->err == ENOTDIR);
	EXPECT(copy(f, "nothing/") && f->err == ENOENT);
	EXPECT(mode_of("fifo") == 0600);
	mkdir("dir", 0755);
	mkdir("dir/from", 0755);
	EXPECT(copy(f, "dir") && f->err == EEXIST);
	teardown(f);
}

TEST(names_that_lead_elsewhere_are_refused)
{
	static const char *const bad[] = {
		/* Below a directory, and no name */
		"Dd F..", "Dd Fa/b", "Dd F", "Dd Fa@", "Dd D.", "Dd L/g =x",
		/* A second thing at the top, more ends than beginnings */
		"Ff = Fg = E", "Dd U Fg", "Dd U U", "Dd U De", "Ff = Lg =x E",
		/* Types that are none, a target that is too long */
		"0", "6", "Ll +",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fixture *f = setup();

		mkdir("in", 0755);
		EXPECT(receive(f, bad[i], "in", NULL) == -EPROTO);
		EXPECT(access("g", F_OK) && access("in/g", F_OK) &&
		       access("in/e", F_OK) && access("in/a", F_OK));
		teardown(f);
	}
}

TEST(links_of_a_stream_are_not_followed)
{
	/* A link, then a directory of that name with a file, then a file */
	static const char stream[] = "Dd Ll =../out Dl Ff =x = U Fk =x = U E";
	struct fixture *f = setup();

	mkdir("out", 0755);
	EXPECT(receive(f, stream, "d", NULL) == -EIO);
	EXPECT(f->complaints == 1 && access("out/f", F_OK));
	EXPECT(is_file("d/k", "x"));
	teardown(f);
}

TEST(the_name_is_what_was_asked_for)
{
	static const char stream[] = "F.bashrc =x = E";
	struct fixture *f = setup();

	EXPECT(!receive(f, stream, ".", "/etc/hosts") &&
	       is_file("hosts", "x") && access(".bashrc", F_OK));
	/* That of a directory, which this is none of */
	EXPECT(receive(f, stream, ".", "/etc/.") == -EPROTO);
	EXPECT(access(".bashrc", F_OK));
	teardown(f);
}

TEST(what_ends_early_is_not_there)
{
	struct bytes b = stream_of("Ff =text * E");

	for (size_t len = 0; len <= b.len; len++) {
		struct fixture *f = setup();

		EXPECT(receive_bytes(f, b.d, len, "to", NULL));
		EXPECT(access("to", F_OK) && !rmdir(f->dir));
		mkdir(f->dir, 0700);
		teardown(f);
	}
}

TEST(depth_is_bounded)
{
	struct fixture *f = setup();
	u8 d[(TREE_DEPTH + 1) * 5];

	for (unsigned int i = 0; i <= TREE_DEPTH; i++)
		memcpy(d + i * 5, stream_of("Dd").d, 5);
	EXPECT(receive_bytes(f, d, sizeof(d), "to", NULL) == -EPROTO);
	EXPECT(receive_bytes(f, d, sizeof(d) - 5, "to2",
			     NULL) == -EPIPE);
	teardown(f);
}

TEST_MAIN(T(a_file_is_copied_with_its_mode),
	  T(a_tree_is_copied),
	  T(a_link_is_not_what_was_asked_for), T(modes_go_through_the_mask),
	  T(what_is_no_file_is_left_out),
	  T(what_is_there_and_is_no_file_stays),
	  T(names_that_lead_elsewhere_are_refused),
	  T(links_of_a_stream_are_not_followed),
	  T(the_name_is_what_was_asked_for),
	  T(what_ends_early_is_not_there),
	  T(depth_is_bounded))
