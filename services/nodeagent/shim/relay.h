/* Lines of a task's output on their way to syslog or journald, as datagrams to a socket of the
 * node. Nothing here waits for who listens there: while the socket is full or away a little is
 * kept, what is more is counted and lost, and when it is there again its reader is told how much.
 * libc only, no malloc: memory is mapped only for a task that wants this. */
#ifndef NODEAGENT_SHIM_RELAY_H
#define NODEAGENT_SHIM_RELAY_H

#include "spec.h"
#include <stddef.h>
#include <stdint.h>

enum {
    RELAY_LINE = 4096, /* a longer line goes in pieces */
    RELAY_KEPT = 8192, /* bytes of lines that wait */
    RELAY_RETRY_MS = 1000,
    RELAY_END_MS = 500, /* how long the end of a task waits for what is kept */
};

struct relay;

/* NULL: the task wants none, or there is no memory. All others do nothing with NULL. */
struct relay *relay_new(const struct spec_view *v);
void relay_begin(struct relay *r, int32_t pid); /* of the task */
/* stream: 0 stdout, 1 stderr. */
void relay_write(struct relay *r, int stream, const char *data, size_t len, int64_t now_ms);
/* What is kept, as far as the socket takes it. */
void relay_flush(struct relay *r, int64_t now_ms);
/* The socket to be polled until it takes more; -1: none. *at_ms, if lower, becomes when to flush
 * without it. */
int relay_waits(const struct relay *r, int64_t *at_ms);
/* No more will come: unfinished lines go, and what is kept, if the socket takes it soon. */
void relay_end(struct relay *r, int64_t now_ms);
uint32_t relay_lost(const struct relay *r);

#endif
