/* When a periodic job is launched: its cron expressions and its time zone, made ready. Times are
 * seconds since 1970. */
#ifndef SCHED_PERIODIC_H
#define SCHED_PERIODIC_H

#include "base/cron.h"
#include "base/err.h"
#include "types.pb-c.h"
#include <stdbool.h>

#define PERIODIC_MOST_SPECS 32

/* Periodic, enabled, not stopped, and not waiting for somebody to dispatch it. */
bool job_is_launched(const Pb__Job *job);

struct periodic;

/* *out is untouched on error. */
enum err periodic_new(struct periodic **out, const Pb__Periodic *from, struct reason *why);
void periodic_free(struct periodic *p);
/* Whether periodic_new would take that expression, that time zone (NULL: UTC): for one who is to
 * hear of each fault, where periodic_new names the first. */
enum err periodic_check_spec(const char *spec, struct reason *why);
enum err periodic_check_zone(const char *name, struct reason *why);
const struct zone *periodic_zone(const struct periodic *p);

/* The earliest launch after `after` by any of the expressions; CRON_NEVER: none. */
int64_t periodic_next(const struct periodic *p, int64_t after);
/* The latest launch after `after` and not after `until`; CRON_NEVER: none. */
int64_t periodic_last(const struct periodic *p, int64_t after, int64_t until);

#endif
