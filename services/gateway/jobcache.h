/* Jobs by version, for agents: each is fetched once and sent to many. Bounded; the least recently
 * used go first. */
#ifndef GATEWAY_JOBCACHE_H
#define GATEWAY_JOBCACHE_H

#include "base/arena.h"
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
struct job_ref job_ref_of(const Pb__Job *job);
bool job_ref_equal(struct job_ref a, struct job_ref b);

struct jobcache *jobcache_new(size_t max_jobs, size_t max_bytes);
void jobcache_free(struct jobcache *c);
/* A copy is kept, packed: thousands of jobs in memory would be five times as large. */
void jobcache_put(struct jobcache *c, const Pb__Job *job);
/* There is no such job: remembered until until_ms. */
void jobcache_put_missing(struct jobcache *c, struct job_ref ref, uint64_t until_ms);
/* Whether jobcache_get has an answer. */
bool jobcache_knows(const struct jobcache *c, struct job_ref ref, uint64_t now_ms);
/* False: not known. *out is NULL for one that does not exist; else lives in a. */
bool jobcache_get(struct jobcache *c, struct job_ref ref, uint64_t now_ms, struct arena *a,
                  Pb__Job **out);
void jobcache_check(const struct jobcache *c);

#endif
