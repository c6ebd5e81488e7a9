/* Jobs by version, for agents: each is fetched once and sent to many. Bounded; the least recently
 * used go first. */
#ifndef GATEWAY_JOBCACHE_H
#define GATEWAY_JOBCACHE_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jobcache;

struct job_ref {
    const char *namespace, *id;
    uint64_t version, create_index; /* a purged job's name may be used again */
};
struct job_ref alloc_job_ref(const Pb__Alloc *alloc);

struct jobcache *jobcache_new(size_t max_jobs, size_t max_bytes);
void jobcache_free(struct jobcache *c);
/* A copy is kept. */
void jobcache_put(struct jobcache *c, const Pb__Job *job);
/* There is no such job: remembered until until_ms. */
void jobcache_put_missing(struct jobcache *c, struct job_ref ref, uint64_t until_ms);
/* False: not known. *out is NULL for one that does not exist; else borrowed until the next put. */
bool jobcache_get(struct jobcache *c, struct job_ref ref, uint64_t now_ms, const Pb__Job **out);
void jobcache_check(const struct jobcache *c);

#endif
