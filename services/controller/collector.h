/* The shell around collect: a core evaluation each interval, and when somebody asks for one. One
 * question at a time, with a pause between two, so that a large state is looked through without
 * anybody waiting for it. */
#ifndef CONTROLLER_COLLECTOR_H
#define CONTROLLER_COLLECTOR_H

#include "collect.h"
#include "loop/loop.h"
#include "net/net.h"

struct collector;

struct collector *collector_new(struct loop *l, struct client *jobstore, uint64_t interval_ms,
                                const struct collect_settings *s); /* l, jobstore borrowed */
void collector_free(struct collector *c); /* NULL is accepted; what it asked is given up */
/* Everything that nobody needs, now, however young; after a round that is under way. */
void collector_force(struct collector *c);
uint64_t collector_deleted(const struct collector *c); /* records proposed since the start */

#endif
