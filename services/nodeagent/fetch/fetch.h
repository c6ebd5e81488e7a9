/* taskfetch's own parts. It is started by the agent for one artifact, hears what to do as JSON on
 * its standard input, becomes the task's user before anything else, and says "ok", or why not, on
 * its standard output (artifacts.c). */
#ifndef NODEAGENT_FETCH_FETCH_H
#define NODEAGENT_FETCH_FETCH_H

#include "source.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct limits {
    uint64_t max_bytes;    /* of what is downloaded */
    uint64_t max_unpacked; /* bytes of what an archive holds */
    uint64_t max_files;
    long timeout_s;
};

/* Into the new file fd. */
enum err download(const struct source *s, const json_t *headers, bool insecure,
                  const struct limits *l, int fd, struct reason *why);
enum err copy_file(const struct source *s, const struct limits *l, int fd, struct reason *why);

/* The archive in fd into the current directory: regular files, directories and links that stay
 * inside; nothing of it leads out, has an owner or a set-user-id bit. */
enum err unpack(int fd, const struct source *s, const struct limits *l, struct reason *why);
/* A compressed file into out_fd. */
enum err unpack_single(int fd, int out_fd, const struct limits *l, struct reason *why);

/* Compares what fd holds with the source's checksum. */
enum err verify(int fd, const struct source *s, struct reason *why);

/* By the program git, into the current directory. own: also one of the node's own. */
enum err clone_repository(const struct source *s, bool own, struct reason *why);

/* Each entry of one directory into another of the same file system, in the place of what is called
 * so there. Unless all that gives way, a directory that both have keeps what only it has. Follows
 * no link, whatever somebody does to `to` meanwhile. */
enum err merge(int from, int to, bool replace, struct reason *why);
/* What is called so in the directory at, as far as it can be removed; likewise. */
void drop_tree(int at, const char *name);

#endif
