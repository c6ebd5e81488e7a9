/* Answers what users at some gateway ask of this node: lists, files, logs, orders. Results go up in
 * pieces of at most 64 KiB, each sent once the one before has been taken, so a slow reader costs no
 * memory here. */
#ifndef NODEAGENT_READERS_H
#define NODEAGENT_READERS_H

#include "gateway.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"
#include "runner.h"

struct readers;

struct readers_options {
    const char *data_dir;
    const Pb__Node *node;
    struct runner *runner;
    struct nodemeta *meta;
    struct client *(*client)(void *owner); /* whom to send results to */
    void *owner;
};

struct readers *readers_new(struct loop *l, const struct readers_options *o);
void readers_free(struct readers *r);
/* One that is under way already is not begun twice. */
void readers_begin(struct readers *all, const Pb__AgentRequest *request);
size_t readers_count(const struct readers *r);

#endif
