/* What runner.c, launch.c and adopt.c share: the allocations in memory. Those that are over and
 * reported live only in the local state. */
#ifndef NODEAGENT_RUN_H
#define NODEAGENT_RUN_H

#include "base/map.h"
#include "cores.h"
#include "group.h"
#include "health.h"
#include "runner.h"
#include "supervisor.h"

struct alloc_run;

struct task_run {
    struct alloc_run *alloc;
    struct task core;
    char *name;
    bool leader;
    enum group_role role;
    int kill_signal; /* 0: the job names one that does not exist */
    unsigned todo;   /* TASK_DO_... decided, not yet done */
    struct supervisor *shim;
    struct timer timer;  /* of the core */
    struct timer launch; /* the driver wants to wait before it starts */
    bool waited;         /* and has */
    bool own_cores;      /* pinning.h */
};

struct alloc_run {
    struct runner *runner;
    uint8_t id[16];
    size_t task_count;
    struct task_run *tasks;
    struct group_member *members; /* the same tasks, as group.h sees them */
    bool stopping;
    bool removed; /* forgotten by the servers: when all is dead, everything goes */
    bool refused; /* its tasks cannot be run by anybody; it has none here, and has failed */
    bool dirty;   /* differs from the local state */
    Pb__Alloc__ClientStatus status; /* as of the last step */
    /* What has changed, has been sent and acknowledged, as counts of changes. */
    uint64_t changed, sent, acknowledged;
    bool under_way;
    bool seen; /* while a full list is applied */
    struct link touched;
    struct id *after; /* starts when these have ended: waiting.h. NULL: at once */
    size_t after_count;
    struct core_set *cores; /* its tasks' own: pinning.h. NULL: none */
    struct health health;   /* healthwatch.h */
    struct timer health_timer;
    bool health_sent; /* with the update under way */
};

/* A shim that no task of ours claims: it is told to kill and go. */
struct orphan {
    struct link link;
    struct runner *runner;
    struct supervisor *shim;
};

struct runner {
    struct loop *loop;
    struct runner_options options;
    struct map *allocs; /* id -> struct alloc_run */
    struct link touched, orphans;
    struct step step;
    struct timer retry;    /* of a commit that failed */
    struct worker *worker; /* removes directories; NULL until needed */
    uint32_t reports;      /* on allocations, made so far */
    size_t waiting_count;  /* allocations that have an `after` */
    size_t with_cores;     /* allocations that have `cores` */
    struct core_set given; /* to tasks that live, as all others were told last */
    bool any_given;
    bool stopping_all;
    void (*stopped)(void *owner);
    void *stopped_owner;
};

/* runner.c */
struct alloc_run *alloc_run_new(struct runner *r, const Pb__Alloc *alloc, const Pb__Job *job);
void alloc_run_touch(struct alloc_run *run);
bool alloc_run_is_over(const struct alloc_run *run);
/* Steps the core and notes what is to be done. now_ns 0: now. */
void task_run_input(struct task_run *t, struct task_input in);
const Pb__TaskGroup *group_of(const Pb__Job *job, const char *name);
struct task_rules task_rules_of(const Pb__Job *job, const Pb__TaskGroup *group,
                                const Pb__Task *task, int64_t max_kill_timeout_ns);

/* What the local state has not yet written goes with the next step. */
void runner_write_soon(struct runner *r);

/* removal.c: the local record and the directories of an allocation that is not in memory. */
void runner_remove_files(struct runner *r, const uint8_t id[16]);

/* launch.c: makes a process of a task, or says to the core why not. */
void task_run_launch(struct task_run *t);

/* adopt.c */
void task_run_on_state(void *owner, const struct shim_message *m);
void task_run_on_lost(void *owner);
/* Finds the shim of a task that was read back. */
void task_run_adopt(struct task_run *t, bool same_boot);
/* Shims of which no task knows. */
void runner_adopt_orphans(struct runner *r);
void orphan_free(struct orphan *o);

#endif
