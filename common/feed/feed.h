/* A view of the cluster's state: lists the wanted tables of jobstore once, then follows its
 * changes.
 *
 * The owner folds: `reset` empties the view, `object` sets one value (or removes a deleted one),
 * `synced` says that the view now holds everything up to an index. Values are absolute and at least
 * as new as the index last synced, so seeing one twice is harmless. Lost connections, restarts of
 * jobstore and a feed that was left behind (too_old) are handled here: at worst the view is reset
 * and listed again. Between reset and the next synced the view is incomplete: decide nothing on it.
 */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include "base/err.h"
#include "jobstore.pb-c.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stdint.h>

struct feed;

#define FEED_TABLE(name)                                                                           \
    (1u << PB__TABLE__NAME__##name) /* FEED_TABLE(NODES) | FEED_TABLE(NODE_USAGE) */

struct feed_options {
    const char *jobstore;      /* address of its short requests */
    const char *jobstore_poll; /* address of its long polls */
    uint32_t tables;           /* FEED_TABLE(...) | ... */
    bool skip_list; /* do not list: follow what changes from now on. For those who only wake waiters
                     */
    uint32_t pace_ms; /* let changes gather for so long between two looks: a busy reader then costs
                         one answer for many commits. feed_reach does not wait */
    void *self;
    void (*reset)(void *self); /* may be NULL */
    /* o is borrowed until it returns. o->deleted is set instead of a value for what is gone. index:
     * the view will be at least there when synced is called next. */
    void (*object)(void *self, const Pb__Object *o, uint64_t index);
    /* After a listing, and after every batch of changes; index grows, or stays where only time went
     * by. */
    void (*synced)(void *self, uint64_t index); /* may be NULL */
    /* jobstore cannot be reached (false) or answers again (true). For logs and health; may be NULL.
     */
    void (*connected)(void *self, bool up, const char *why);
};

enum err feed_open(struct feed **out, struct loop *l, const struct feed_options *o,
                   struct reason *why);
void feed_close(struct feed *f);

/* 0 until the first listing is complete, and again while listing anew. */
uint64_t feed_index(const struct feed *f);

/* Hurries: if the view is older than index, asks at once instead of waiting for a change in its
 * tables. synced follows. The view advances past indexes that changed nothing in its tables only by
 * this, or when a long poll ends. */
void feed_reach(struct feed *f, uint64_t index);

#endif
