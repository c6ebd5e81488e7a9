/* Starting a task is a row of steps, which launch.c lists. Each time something has moved, they are
 * asked again from the first. */
#ifndef NODEAGENT_LAUNCH_H
#define NODEAGENT_LAUNCH_H

#include "drivers/driver.h"
#include "run.h"
#include "taskenv.h"
#include <sys/types.h>

/* All about one task, for the time of one round of questions; what lasts is in the step's slot. */
struct launch {
    struct arena *arena;
    struct task_run *run;
    Pb__LocalAlloc *local;
    Pb__Job *job;
    const Pb__TaskGroup *group;
    const Pb__Task *task;
    const struct driver *driver;
    char *alloc_dir, *task_dir, *shim_dir;
    struct driver_plan plan; /* filled by the step of that name */
    bool set_user;
    uid_t uid;
    gid_t gid;
    gid_t groups[SHIM_MAX_GROUPS];
    int group_count;
    struct taskenv *env;
    bool recoverable; /* of a failure: trying again may help */
};

/* slot: the step's own memory, NULL at first. It lives as long as the allocation is in memory. */
struct launch_step {
    const char *name;
    enum task_input_kind failure; /* what the task hears when it is not OK; 0: by the error */
    /* OK: its thing is done, and to see that again costs little. ERR_AGAIN: it has begun, goes on
     * beside the loop, and calls task_run_launch when it is over, well or not. Else: the reason. */
    enum err (*ready)(struct launch *l, void **slot, struct reason *why);
    /* The launch is over or off: what is under way stops. NULL: nothing ever is. */
    void (*settle)(struct task_run *t, void **slot);
    void (*free)(void *slot); /* NULL: nothing to free */
};

/* The same for what the tasks of an allocation share; it is made before the first of them starts
 * and taken down when the last has ended. An agent that starts again restores it. */
struct alloc_step {
    const char *name;
    /* As of a launch step, and then alloc_run_launch. */
    enum err (*ready)(struct launch *l, void **slot, struct reason *why);
    /* All tasks are dead. OK: nothing is left of it. ERR_AGAIN: alloc_run_touch when that is so. */
    enum err (*end)(struct alloc_run *run, void **slot);
    void (*save)(struct alloc_run *run, void *slot, struct arena *a, Pb__LocalAlloc *out);
    void (*restore)(struct alloc_run *run, void **slot, const Pb__LocalAlloc *saved);
    void (*free)(void *slot); /* the agent goes; what was made stays */
};

/* images.c */
extern const struct launch_step image_step;
/* payload.c, task_templates.c */
extern const struct launch_step payload_step, template_step;
/* artifacts.c */
extern const struct launch_step artifact_step;
/* Of a task that runs: everything that a step would be told but for its variables. */
enum err launch_look(struct launch *l, struct reason *why);
/* The slot of one of the task's steps. */
void **launch_slot(struct task_run *t, const struct launch_step *step);
/* Of a task that an agent finds running: what its templates hold now is what it has. */
void templates_adopt(struct task_run *t);
/* Of a task that runs: what its templates added to its environment. Nothing is written. */
enum err launch_variables(struct launch *l, struct reason *why);

/* launch.c: how the task that runs was started, for another process beside it. l has its arena and
 * the task; what out leads to lives in there. */
enum err launch_describe(struct launch *l, struct supervisor_spec *out, struct reason *why);

/* alloc_steps.c: all of them; NULL parts of a step are left out. */
enum err alloc_steps_ready(struct launch *l, struct reason *why);
enum err alloc_steps_end(struct alloc_run *run);
void alloc_steps_save(struct alloc_run *run, struct arena *a, Pb__LocalAlloc *out);
void alloc_steps_restore(struct alloc_run *run, const Pb__LocalAlloc *saved);
void alloc_steps_free(struct alloc_run *run);
/* What the step has in its slot. */
void *alloc_steps_slot(const struct alloc_run *run, const struct alloc_step *step);

#endif
