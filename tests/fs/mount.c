// SPDX-License-Identifier: GPL-2.0-only
/*
 * Theory of operation
 *
 * Mounts a directory by way of fs/fuse.c on this machine: the kernel's FUSE
 * reads and writes /dev/fuse where a guest's would use queues, and all of the
 * file system can be tried without a guest, under the sanitizers. One request
 * is one chain of one piece each way; four threads, as a device would have.
 * Ends when it is unmounted. Root only.
 *
 *	mount DIR MOUNTPOINT [ro]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvm/fs.h"
#include "kvm/fuse.h"

#define BUF (1024 * 1024 + 65536)
#define THREADS 4

static int fuse_fd;
static struct fs_server *server;

static void *serve(void *opaque)
{
	struct fs_buffers *b = calloc(1, sizeof(*b));
	struct vq_chain *c = calloc(1, sizeof(*c));
	char *in = malloc(BUF), *out = malloc(BUF);
	ssize_t n;
	int len;

	(void)opaque;
	for (;;) {
		n = read(fuse_fd, in, BUF);
		if (n < 0 && (errno == EINTR || errno == ENOENT ||
			      errno == EAGAIN))
			continue;
		if (n < 0)
			break;
		c->nr_out = 1;
		c->nr_in = 1;
		c->out_len = n;
		c->in_len = BUF;
		c->iov[0] = (struct iovec){ in, n };
		c->iov[1] = (struct iovec){ out, BUF };
		len = server->service->serve(server, b, c);
		/* The request may have been given up meanwhile. */
		if (len > 0 && write(fuse_fd, out, len) < 0 && errno != ENOENT)
			perror("answer");
	}
	free(in);
	free(out);
	free(c);
	free(b);
	return NULL;
}

int main(int argc, char **argv)
{
	struct fs_opts o = { .max_fds = 512 };
	pthread_t thread[THREADS];
	struct report r = { "" };
	struct fs_host *host;
	char text[128];

	if (argc < 3) {
		fprintf(stderr, "usage: mount DIR MOUNTPOINT [ro]\n");
		return 2;
	}
	o.path = argv[1];
	o.readonly = argc > 3;
	umask(0);
	if (fs_open(&host, &o, &r) || fuse_server_create(&server, host)) {
		fprintf(stderr, "%s\n", r.msg);
		return 1;
	}
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(text, sizeof(text),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
		 fuse_fd);
	if (fuse_fd < 0 || mount("lkvm", argv[2], "fuse.lkvm", 0, text)) {
		perror(argv[2]);
		return 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_create(&thread[i], NULL, serve, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	server->service->free(server);
	return 0;
}
