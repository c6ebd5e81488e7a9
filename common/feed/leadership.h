/* Whether the jobstore beside a daemon leads its region: then, and only then, the daemon works.
 * Told at once when it changes; while jobstore is silent nothing is known to have changed. */
#ifndef FEED_LEADERSHIP_H
#define FEED_LEADERSHIP_H

#include "base/err.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stdint.h>

struct leadership;

struct leadership_options {
    const char *jobstore_poll; /* where STATUS may wait */
    void *self;
    /* It leads, in another term than before if it led before: begin anew, from what it has. All
     * that was committed before its term is in its state. */
    void (*gained)(void *self, uint64_t term);
    /* Another leads, or nobody: forget everything. Comes before gained when only the term changed,
     * and at the first answer of a jobstore that does not lead. */
    void (*lost)(void *self);
};

enum err leadership_open(struct leadership **out, struct loop *l,
                         const struct leadership_options *o, struct reason *why);
void leadership_close(struct leadership *s);

#endif
