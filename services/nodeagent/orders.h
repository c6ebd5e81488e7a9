/* What users ask of the tasks of one allocation: begin anew, take a signal, be measured. The texts
 * of refusals are those that users of the API know. */
#ifndef NODEAGENT_ORDERS_H
#define NODEAGENT_ORDERS_H

#include "runner.h"
#include "usage.h"

/* task NULL or "": all that run; then it is refused only if none does. */
enum err runner_restart(struct runner *r, const uint8_t alloc[16], const char *task,
                        struct reason *why);
/* signal NULL or "": SIGINT. */
enum err runner_signal(struct runner *r, const uint8_t alloc[16], const char *task,
                       const char *signal, struct reason *why);

struct task_look {
    const char *task;
    struct usage_look look;
};
/* Looks at each task that runs; everything in a. Returns how many. */
size_t runner_look(struct runner *r, const uint8_t alloc[16], struct arena *a,
                   struct task_look **out);

#endif
