/* The life of one task, from the moment its allocation is received until it is dead for good. Pure:
 * knows neither processes nor clocks nor files. Everything that happens goes in through task_step,
 * which says what is to be done; time and chance are arguments.
 *
 *   NEW ──begin──▶ STARTING ──started──▶ RUNNING ──exited──▶ WAITING ──timer──▶ STARTING ...
 *                     │  ▲                  │ kill              │ └─ or DEAD, as the restart policy
 * says ▼  │ (policy)         ▼                   │ WAITING           DELAYING ─▶ STOPPING ──▶ DEAD
 */
#ifndef NODEAGENT_TASK_H
#define NODEAGENT_TASK_H

#include "base/arena.h"
#include "nodeagent.pb-c.h"
#include "restart.h"
#include "task_event.h"

#define TASK_MAX_EVENTS 10

enum task_phase {
    TASK_NEW,
    TASK_STARTING, /* asked to start; not known whether it did */
    TASK_RUNNING,
    TASK_WAITING,  /* for the restart policy's delay */
    TASK_DELAYING, /* to be killed, but running on for shutdown_delay */
    TASK_STOPPING, /* told to end */
    TASK_DEAD,
    TASK_PHASES,
};

struct task_rules {
    struct restart_policy restart;
    int64_t kill_timeout_ns, shutdown_delay_ns;
    int64_t max_run_ns; /* since its first start; 0: no limit */
};

enum task_input_kind {
    TASK_IN_BEGIN,
    TASK_IN_STARTED,
    TASK_IN_START_FAILED,  /* text; recoverable */
    TASK_IN_FETCHING,      /* its artifacts, before it starts */
    TASK_IN_DRIVER_SAYS,   /* text: what its driver is doing, before it starts */
    TASK_IN_FETCH_FAILED,  /* text; recoverable */
    TASK_IN_SETUP_FAILED,  /* text: its directory could not be made */
    TASK_IN_INVALID,       /* text: its configuration is wrong */
    TASK_IN_EXITED,        /* exit_code, signal; text: said beside the code, or NULL */
    TASK_IN_NEVER_STARTED, /* the agent died between the decision and the start: start again */
    TASK_IN_TIMER,
    TASK_IN_RESTART,        /* text: why; ends it, and starts it again whatever the policy says */
    TASK_IN_SIGNALED,       /* text: the name of the signal that it is sent */
    TASK_IN_KILL,           /* the allocation is to stop */
    TASK_IN_LEADER_DEAD,    /* kill, since the group's leader ended */
    TASK_IN_MAIN_DEAD,      /* kill, since the group's main tasks ended */
    TASK_IN_SIBLING_FAILED, /* kill, since text failed */
    TASK_IN_DISK_NOT_MOVED, /* text: why it does without what it was to take over */
    TASK_IN_DISK_EXCEEDED,  /* text: why; kill it, and it has failed whatever the policy says */
    TASK_IN_OVERDUE,        /* likewise: it has run too long */
    TASK_IN_UNHEARD,        /* likewise: no server is heard */
};

struct task_input {
    enum task_input_kind kind;
    int64_t now_ns;
    uint64_t random;
    const char *text;
    bool recoverable;
    int32_t exit_code, signal;
    uint32_t oom_kills; /* of its processes, for its memory limit */
};

enum {
    TASK_DO_LAUNCH = 1,
    TASK_DO_KILL = 2,    /* the signal, then after kill_timeout_ns the force */
    TASK_DO_TIMER = 4,   /* TASK_IN_TIMER at task.timer_at_ns */
    TASK_DO_RELEASE = 8, /* its end is noted: the supervisor may go */
    TASK_DO_REPORT = 16, /* something that users see has changed */
};

struct task {
    enum task_phase phase;
    bool failed;         /* of one that lives: it will have when it is dead */
    bool kill_wanted;    /* came while STARTING */
    bool restart_wanted; /* while STOPPING: it is to run again */
    uint32_t restarts;
    int64_t started_at, finished_at, last_restart;
    int64_t timer_at_ns;  /* of WAITING and DELAYING, and of RUNNING if it has a limit; 0: none */
    int64_t run_until_ns; /* 0: not known yet, or no limit */
    struct task_rules rules;
    struct restart_window window;
    size_t event_count;
    struct task_event events[TASK_MAX_EVENTS]; /* oldest first */
};

/* A task as its allocation is received. */
void task_init(struct task *t, const struct task_rules *rules, int64_t now_ns);
void task_fini(struct task *t);

/* Returns what is to be done: TASK_DO_... flags. An input that the phase has no use for changes
 * nothing: every message from a supervisor may come twice. */
unsigned task_step(struct task *t, const struct task_input *in);

/* What must be done to go on with a task that was read back: the timer, or the kill once more. */
unsigned task_resume(const struct task *t);
/* What is left of the kill timeout at now_ns. */
int64_t task_kill_timeout_left(const struct task *t, int64_t now_ns);

Pb__TaskState *task_state(struct arena *a, const struct task *t, const char *name);
Pb__LocalTask *task_save(struct arena *a, const struct task *t, const char *name);
void task_load(struct task *t, const struct task_rules *rules, const Pb__LocalTask *saved);

/* Aborts if an invariant is broken. */
void task_check(const struct task *t);

#endif
