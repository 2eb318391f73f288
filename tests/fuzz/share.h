/* SPDX-License-Identifier: GPL-2.0-only */
/* A directory in memory that is shared with the input, and a secret beside it. */
#ifndef KVM__FUZZ_SHARE_H
#define KVM__FUZZ_SHARE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvm/fs.h"
#include "kvm/fs-serve.h"
#include "tests/unit/dir.h"

#define BUF 8192

static char base[64], share[80];
static u8 in[BUF], out[BUF];
static struct fs_buffers buffers;

/** share_chain() - @len bytes of in[], cut at @cut, and @room in out[] */
static inline void share_chain(struct vq_chain *c, size_t len, size_t cut, u32 room)
{
	*c = (struct vq_chain){
		.nr_out = 1, .nr_in = room > 0, .out_len = len, .in_len = room,
		.iov = { { in, len } },
	};
	if (cut && cut < len) {
		c->nr_out = 2;
		c->iov[0].iov_len = cut;
		c->iov[1] = (struct iovec){ in + cut, len - cut };
	}
	c->iov[c->nr_out] = (struct iovec){ out, room };
}

static inline void share_remove(void)
{
	if (dir_remove(base))
		perror(base);
}

/** share_check() - what is beside the share is as it was */
static inline void share_check(void)
{
	char path[96], text[8] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/secret", base);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text)) != 6 ||
	    memcmp(text, "secret", 6))
		abort();
	close(fd);
}

static inline struct fs_host *share_open(void)
{
	struct fs_opts o = { .path = share, .max_fds = 64 };
	struct fs_host *host;
	char path[96];
	int fd;

	umask(0);
	snprintf(base, sizeof(base), "/dev/shm/lkvm-fuzz-fs-%d", (int)getpid());
	snprintf(share, sizeof(share), "%s/share", base);
	snprintf(path, sizeof(path), "%s/secret", base);
	if (mkdir(base, 0755) || mkdir(share, 0755))
		abort();
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	if (fd < 0 || write(fd, "secret", 6) != 6 || close(fd))
		abort();
	if (fs_open(&host, &o, NULL))
		abort();
	return host;
}

/** share_populate() - what inputs may begin with */
static inline void share_populate(void)
{
	static unsigned int runs;
	char cmd[256];
	int dir, fd;

	snprintf(cmd, sizeof(cmd), "cd %s && rm -rf ./* ./.[!.]*", share);
	if (!(runs++ & 0xfff) && system(cmd))
		abort();
	dir = open(share, O_RDONLY | O_DIRECTORY);
	fd = openat(dir, "a", O_CREAT | O_RDWR, 0644);
	if (fd >= 0 && write(fd, "text", 4) == 4)
		mkdirat(dir, "b", 0755);
	close(fd);
	if (!symlinkat("../secret", dir, "c"))
		fd = symlinkat("/", dir, "d");
	close(dir);
}

#endif
