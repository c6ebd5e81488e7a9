/* A file or log on stdout, whole, its end only, or as it grows. */
#ifndef NCTL_STREAM_H
#define NCTL_STREAM_H

#include "client.h"

/* Reads path by the flags -f, -tail, -n and -c, which it adds to query together with plain=true. */
int stream_print(struct client *c, const struct args *args, const char *path, struct strbuf *query);

/* Where the last `lines` lines begin in text. For tests too. */
size_t tail_start(const char *text, size_t len, size_t lines);

#endif
