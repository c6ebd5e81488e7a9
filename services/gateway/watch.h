/* Who waits for which change. Fed with every change of state; a waiter is woken at most once per
 * turn of the loop, however much changed. Wakes may be spurious, never lost. */
#ifndef GATEWAY_WATCH_H
#define GATEWAY_WATCH_H

#include "base/id.h"
#include "base/list.h"
#include "jobstore.pb-c.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stdint.h>

struct watchers;

/* What a waiter looks at. Unset parts match everything. Strings are borrowed while it waits. */
struct watch_on {
    uint32_t tables; /* 1 << Table.Name */
    const char *namespace;
    const char *job;        /* the job's id */
    const char *job_prefix; /* of the job's id */
    bool has_id;
    uint8_t low[ID_SIZE], high[ID_SIZE]; /* ids from..to */
};

/* Embedded in its owner; all zero: not waiting. */
struct waiter {
    struct link link;
    struct watch_on on;
    void (*wake)(void *owner);
    void *owner;
    bool woken;
};

struct watchers *watchers_new(struct loop *l);
void watchers_free(struct watchers *w);
void watchers_add(struct watchers *w, struct waiter *waiter);
void watchers_remove(struct watchers *w, struct waiter *waiter); /* harmless when not waiting */
size_t watchers_count(const struct watchers *w);
uint32_t watchers_tables(const struct watchers *w); /* all that somebody looks at */

void watchers_object(struct watchers *w, const Pb__Object *o);
void watchers_all(struct watchers *w); /* something was missed: wake everyone */

#endif
