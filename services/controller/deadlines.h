/* Which deployments fail if they do not progress, and when: a fold over the deployments of the
 * changes feed. Pure; the time is given.
 *
 * All it knows is in the deployments, so any controller goes on. A failure that was proposed is
 * believed only when the feed shows it: the deployment may have become healthier meanwhile, and
 * jobstore then refuses. */
#ifndef CONTROLLER_DEADLINES_H
#define CONTROLLER_DEADLINES_H

#include "base/arena.h"
#include "command.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadlines;

/* retry_ns: a proposal without effect comes again after this. */
struct deadlines *deadlines_new(int64_t retry_ns);
void deadlines_free(struct deadlines *d);

/* ---- the feed */
void deadlines_put(struct deadlines *d, const Pb__Deployment *deployment);
void deadlines_drop(struct deadlines *d, const uint8_t id[16]);
void deadlines_reset(struct deadlines *d);

/* ---- time */
int64_t deadlines_next_ns(const struct deadlines *d); /* INT64_MAX: nothing is waited for */
/* One that is due at now_ns, in a; NULL: none. */
Pb__DeploymentFail *deadlines_take(struct deadlines *d, struct arena *a, int64_t now_ns);
size_t deadlines_count(const struct deadlines *d); /* deployments that have one */
/* Aborts if an invariant is broken. */
void deadlines_check(const struct deadlines *d);

#endif
