/* Which periodic jobs are due: pure. Times are seconds since 1970.
 *
 * A launch is proposed by its time, one of a job after the other, and jobstore takes each time
 * once. So a controller may die at any moment: the next one begins behind the last launch that is
 * stored. Of what was missed meanwhile, all launches of the last LAUNCH_LATE_S are made up for; of
 * older ones only the latest, and only if there is none since. */
#ifndef CONTROLLER_LAUNCH_H
#define CONTROLLER_LAUNCH_H

#include "base/err.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAUNCH_LATE_S 60
#define LAUNCH_NEVER  INT64_MAX

struct launches;

struct launches *launches_new(void);
void launches_free(struct launches *l); /* NULL is accepted */

/* ---- the feed. Jobs that are not to be launched are forgotten. An error: its schedule cannot be
 * read here, and it is not launched. */
enum err launches_put(struct launches *l, const Pb__Job *job, struct reason *why);
void launches_drop(struct launches *l, const char *ns, const char *id);
void launches_reset(struct launches *l);
size_t launches_count(const struct launches *l);

struct launch {
    const char *ns, *id; /* borrowed until the next call */
    int64_t time;
    uint64_t job_modify_index;
};

/* When launches_take has something; LAUNCH_NEVER: not before something else happens. */
int64_t launches_next_due(const struct launches *l);
/* The next launch that is due; its job has no other until launches_done or launches_failed. */
bool launches_take(struct launches *l, int64_t now, struct launch *out);
/* It is stored, or it was left out for good. */
void launches_done(struct launches *l, const char *ns, const char *id, int64_t time);
/* Nobody knows, or it was refused: it is due again from retry_at on. */
void launches_failed(struct launches *l, const char *ns, const char *id, int64_t retry_at);

void launches_check(const struct launches *l);

#endif
