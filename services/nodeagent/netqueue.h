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
    const char *tasknet, *dir, *bridge, *subnet, *cni_path, *cni_config_dir; /* borrowed */
};

struct netask {
    const char *verb;
    const char *cni, *cni_args; /* NULL: no plugins are asked */
    const struct netplace *places;
    size_t count;
};

struct netqueue *netqueue_new(struct loop *l, const struct netqueue_options *o);
/* The run under way is waited for; nobody is told of any. */
void netqueue_free(struct netqueue *q);

/* All of ask is copied. done may be NULL; its text is what tasknet printed before it said that all
 * is well, else why it is not. The run lives until done has returned. */
struct netrun *netqueue_add(struct netqueue *q, const struct netask *ask,
                            void (*done)(void *owner, enum err result, const char *text),
                            void *owner);
/* Its owner goes: it is done, and nobody is told. NULL: nothing. */
void netrun_forget(struct netrun *r);

#endif
