/* Runs of tasknet, one after the other on a worker. Removing waits while there is anything else to
 * do: it takes longer, and nobody's start waits for it. */
#ifndef NODEAGENT_NETQUEUE_H
#define NODEAGENT_NETQUEUE_H

#include "base/err.h"
#include "loop/loop.h"
#include "netns/netplace.h"

struct netqueue;
struct netrun;

struct netqueue_options {
    const char *tasknet, *dir, *bridge, *subnet; /* borrowed */
};

struct netqueue *netqueue_new(struct loop *l, const struct netqueue_options *o);
/* The run under way is waited for; nobody is told of any. */
void netqueue_free(struct netqueue *q);

/* Its places are copied. done may be NULL. The run lives until done has returned. */
struct netrun *netqueue_add(struct netqueue *q, const char *verb, const struct netplace *places,
                            size_t count,
                            void (*done)(void *owner, enum err result, const struct reason *why),
                            void *owner);
/* Its owner goes: it is done, and nobody is told. NULL: nothing. */
void netrun_forget(struct netrun *r);

#endif
