/* The environment of a task: NOMAD_* and NORN_* alike, what the job sets, what the host gives; and
 * the
 * ${...} that a job file may write in commands, arguments and variables. Pure. */
#ifndef NODEAGENT_TASKENV_H
#define NODEAGENT_TASKENV_H

#include "base/arena.h"
#include "nodeagent.pb-c.h"
#include "types.pb-c.h"
#include <stdbool.h>

struct taskenv;

struct taskenv_input {
    const Pb__Alloc *alloc;
    const Pb__Job *job;
    const Pb__TaskGroup *group;
    const Pb__Task *task;
    const Pb__Node *node;
    const char *region;
    const char *ip;                                 /* what ports are reached at */
    const char *alloc_dir, *task_dir, *secrets_dir; /* alloc/, TASK/local, TASK/secrets */
    char *const *host; /* "KEY=value", ends with NULL; secrets of the agent are left out */
    const Pb__LocalNetwork *network; /* NULL: it uses the node's */
};

struct taskenv *taskenv_new(struct arena *a, const struct taskenv_input *in);
#define TASKENV_MAX_GROWTH (4u << 20) /* bytes that ${...} may add in all */
/* Each ${name} that is known is replaced; the others stay as they are, for the shell. */
char *taskenv_expand(const struct taskenv *e, struct arena *a, const char *text);
/* There was more to replace than that: it stays as it is, and the task must not start. */
bool taskenv_is_overgrown(const struct taskenv *e);
const char *taskenv_get(const struct taskenv *e, const char *name); /* NULL: not set */
/* The same, or one of node.*, attr.* and meta.*. */
const char *taskenv_find(const struct taskenv *e, const char *name);
void taskenv_set(struct taskenv *e, const char *name, const char *value);
/* "KEY=value", sorted, ends with NULL. */
char **taskenv_list(const struct taskenv *e, struct arena *a, size_t *count);

#endif
