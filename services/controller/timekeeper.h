/* The shell around deadlines: waits for the next one, and proposes that its deployment fails, one
 * at a time. */
#ifndef CONTROLLER_TIMEKEEPER_H
#define CONTROLLER_TIMEKEEPER_H

#include "loop/loop.h"
#include "net/net.h"
#include "types.pb-c.h"

struct timekeeper;

struct timekeeper *timekeeper_new(struct loop *l, struct client *jobstore); /* both borrowed */
void timekeeper_free(struct timekeeper *t); /* NULL is accepted; what it asked is given up */

/* ---- the feed */
void timekeeper_reset(struct timekeeper *t);
void timekeeper_put(struct timekeeper *t, const Pb__Deployment *d);
void timekeeper_drop(struct timekeeper *t, const uint8_t id[16]);
/* What was put is all there is, as of now. */
void timekeeper_synced(struct timekeeper *t);

size_t timekeeper_count(const struct timekeeper *t); /* deployments with a deadline */

#endif
