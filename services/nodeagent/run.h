/* What runner.c, news.c, reports.c, launch.c and adopt.c share: the allocations in memory. Those
 * that are over and reported live only in the local state. */
#ifndef NODEAGENT_RUN_H
#define NODEAGENT_RUN_H

#include "base/map.h"
#include "cores.h"
#include "group.h"
#include "health.h"
#include "runner.h"
#include "supervisor.h"

#define RUN_ARENA_CAP (256u << 20) /* of what handles one allocation and its job */

/* How many steps there may be (launch.h). */
enum { LAUNCH_STEPS = 12, ALLOC_STEPS = 6 };

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
    struct timer timer;        /* of the core */
    struct timer launch;       /* the driver wants to wait before it starts */
    bool waited;               /* and has */
    void *slots[LAUNCH_STEPS]; /* launch.h */
    bool own_cores;            /* pinning.h */
};

struct alloc_run {
    struct runner *runner;
    uint8_t id[16];
    size_t task_count;
    struct task_run *tasks;
    struct group_member *members;      /* the same tasks, as group.h sees them */
    uint64_t disk_bytes;               /* of its ephemeral_disk; 0: not known */
    int64_t max_run_ns, stop_delay_ns; /* deadlines.h; 0: none */
    int64_t run_until_ns, stop_at_ns;  /* 0: not known yet */
    bool overdue;                      /* and its tasks have been told */
    int64_t unheard_ns;                /* of stop_after_client_disconnect; 0: none */
    bool unheard;                      /* and its tasks have been told */
    struct timer deadline;
    bool stopping;
    bool ended;   /* all tasks are dead, and what they shared is taken down */
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
    bool health_sent;         /* with the update under way */
    void *slots[ALLOC_STEPS]; /* launch.h */
};

/* A shim that no task of ours claims: it is told to kill and go. */
struct orphan {
    struct link link;
    struct runner *runner;
    struct supervisor *shim;
    uint8_t alloc[16];
};

struct runner {
    struct loop *loop;
    struct runner_options options;
    struct map *allocs; /* id -> struct alloc_run */
    struct link touched, orphans;
    struct step step;
    struct timer retry;      /* of a commit that failed */
    unsigned commits_failed; /* in a row */
    struct worker *worker;   /* removes directories; NULL until needed */
    uint32_t reports;        /* on allocations, made so far */
    size_t waiting_count;    /* allocations that have an `after` */
    size_t with_cores;       /* allocations that have `cores` */
    struct core_set given;   /* to tasks that live, as all others were told last */
    bool any_given;
    bool stopping_all;
    void (*stopped)(void *owner);
    void *stopped_owner;
};

/* runner.c */
struct alloc_run *alloc_run_new(struct runner *r, const Pb__Alloc *alloc, const Pb__Job *job);
void alloc_run_free(struct alloc_run *run);
/* Its tasks, as they were saved. */
void alloc_run_load(struct alloc_run *run, const Pb__LocalAlloc *saved, const Pb__Job *job);
void alloc_run_save(struct alloc_run *run); /* into what the next commit writes */
/* Something about it has moved: the next step looks at it. */
void alloc_run_touch(struct alloc_run *run);
/* All tasks are dead; `ended`: and what they shared is gone, so that others may have it. */
bool alloc_run_is_over(const struct alloc_run *run);
/* Over, and the servers know: from now on it lives in the local state only. */
bool alloc_run_is_settled(const struct alloc_run *run);
struct group_status alloc_run_status(const struct alloc_run *run);
/* Steps the core and notes what is to be done. now_ns 0: now. */
void task_run_input(struct task_run *t, struct task_input in);
const Pb__TaskGroup *group_of(const Pb__Job *job, const char *name);

/* task_rules.c */
struct task_rules task_rules_of(const Pb__Job *job, const Pb__TaskGroup *group,
                                const Pb__Task *task, int64_t max_kill_timeout_ns);

/* What the local state has not yet written goes with the next step. */
void runner_write_soon(struct runner *r);

/* removal.c: the local record and the directories of an allocation that is not in memory. */
void runner_remove_files(struct runner *r, const uint8_t id[16]);
/* What is left of a disk that was on its way to the allocation. */
void runner_remove_moving(struct runner *r, const uint8_t id[16]);

/* launch.c: takes the steps from where they are to a process of the task, or says to the core why
 * not. Of a task in phase STARTING. */
void task_run_launch(struct task_run *t);
/* The task starts no more: it has, or need not. */
void task_run_settle(struct task_run *t);
void task_run_free_steps(struct task_run *t);
/* Of all tasks that are STARTING. */
void alloc_run_launch(struct alloc_run *run);

/* adopt.c */
void task_run_on_state(void *owner, const struct shim_message *m);
void task_run_on_lost(void *owner);
void orphan_free(struct orphan *o);
/* Its tasks must not start: those of an agent that forgot them are still being killed. */
bool orphans_live(const struct runner *r, const uint8_t alloc[16]);

#endif
