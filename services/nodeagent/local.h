/* What the agent remembers on its own disk: who it is, its allocations and their tasks, the jobs
 * they are of. Committed before anything is started, so that nothing is started twice. */
#ifndef NODEAGENT_LOCAL_H
#define NODEAGENT_LOCAL_H

#include "base/arena.h"
#include "base/err.h"
#include "nodeagent.pb-c.h"
#include <stdbool.h>

struct local;

/* Refuses a directory that another agent uses, or that holds something else or a newer version. */
enum err local_open(struct local **out, const char *data_dir, struct reason *why);
void local_close(struct local *l);

/* NULL: none yet. Everything read lives in a. */
Pb__LocalNode *local_node(struct local *l, struct arena *a);
enum err local_put_node(struct local *l, const Pb__LocalNode *node, struct reason *why);

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
enum err local_commit(struct local *l, struct reason *why);
/* Forgets jobs that no allocation is of. */
void local_drop_unused_jobs(struct local *l);

#endif
