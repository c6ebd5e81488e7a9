/* What the agent remembers on its own disk: who it is, its allocations and their tasks, the jobs
 * they are of. Committed before anything is started, so that nothing is started twice.
 *
 * Damage is expected. The state is read as a whole before it is used; one that cannot be is put
 * aside, and made anew of its spare copy (spare.h). */
#ifndef NODEAGENT_LOCAL_H
#define NODEAGENT_LOCAL_H

#include "base/arena.h"
#include "base/err.h"
#include "nodeagent.pb-c.h"
#include <stdbool.h>

struct local;

/* Refuses a directory that another agent uses, or that holds something else or a newer version.
 * Before there are threads: it forks. */
enum err local_open(struct local **out, const char *data_dir, struct reason *why);
void local_close(struct local *l);

/* NULL: none yet. Everything read lives in a. */
Pb__LocalNode *local_node(struct local *l, struct arena *a);
enum err local_put_node(struct local *l, const Pb__LocalNode *node, struct reason *why);
/* Goes with the next commit. */
void local_keep_node(struct local *l, const Pb__LocalNode *node);

Pb__LocalAlloc *local_alloc(struct local *l, struct arena *a, const uint8_t id[16]);
/* All of them, one after the other; a is reset between them. */
void local_each_alloc(struct local *l, void (*each)(void *owner, const Pb__LocalAlloc *alloc),
                      void *owner);
Pb__Job *local_job(struct local *l, struct arena *a, const Pb__Alloc *of);

/* Writes gather until local_commit; one sync for all. */
void local_put_alloc(struct local *l, const Pb__LocalAlloc *alloc);
void local_delete_alloc(struct local *l, const uint8_t id[16]);
void local_put_job(struct local *l, const Pb__Job *job);
bool local_is_dirty(const struct local *l);
/* ERR_CORRUPT, also of what was read since: an agent that starts anew can go on, this one cannot.
 */
enum err local_commit(struct local *l, struct reason *why);
/* Forgets jobs that no allocation is of. */
void local_drop_unused_jobs(struct local *l);

#endif
