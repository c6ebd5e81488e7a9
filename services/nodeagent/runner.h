/* Runs allocations: gives each its tasks, carries out what the task cores decide, finds again what
 * ran before the agent did, and gathers what the servers must hear. Knows no server.
 *
 * Order of every turn: cores step, then what they decided is committed to the local state, then it
 * is done. So an agent killed at any moment finds at least what it was about to do, and starts
 * nothing twice. */
#ifndef NODEAGENT_RUNNER_H
#define NODEAGENT_RUNNER_H

#include "base/err.h"
#include "cgroup.h"
#include "drivers/driver.h"
#include "gateway.pb-c.h"
#include "local.h"
#include "logrelay.h"
#include "loop/loop.h"
#include "net/net.h"

struct networks;
struct runner;

/* How artifacts are brought, and what of them this node takes. */
struct artifact_limits {
    const char *program; /* taskfetch */
    uint64_t max_bytes, max_unpacked, max_files, timeout_s;
    bool checksum_required;
};

struct runner_options {
    const char *data_dir, *shim, *region;
    const struct cgroups *cgroups;
    struct networks *networks;
    const struct driver_host *host;
    const Pb__Node *node; /* for ${node...}, ${attr...} and the address of ports */
    struct local *local;
    struct artifact_limits artifacts;
    struct log_sockets log_sockets;
    const char *taskmove;                  /* the program */
    struct client *(*client)(void *owner); /* the gateway in use, for what is asked of others */
    uint32_t starts; /* of the agent: reports of this one are newer than those of the one before */
    int64_t max_kill_timeout_ns;
    /* Something is to be reported; urgent: a task runs for the first time, or all is over. */
    void (*changed)(void *owner, bool urgent);
    /* How long the servers must have thought that the node is down. */
    uint64_t (*silence_ms)(void *owner);
    /* News could not be written down and are forgotten: ask for all of them again. */
    void (*news_lost)(void *owner);
    void *owner;
};

/* All borrowed until runner_free. */
struct runner *runner_new(struct loop *l, const struct runner_options *o);
/* Tasks run on. */
void runner_free(struct runner *r);
/* Goes on with what the local state holds. same_boot: the machine has not been started anew since.
 * Once. */
void runner_restore(struct runner *r, bool same_boot);

/* What the servers want. full: what is not among it has been removed. */
void runner_apply(struct runner *r, const Pb__NodeNews *news);

/* Up to max allocations that have something to report; NULL: none. They count as under way until
 * runner_sent. */
Pb__AllocUpdates *runner_updates(struct runner *r, struct arena *a, size_t max);
void runner_sent(struct runner *r, bool acknowledged);

/* Kills every task and calls stopped once all are dead. Nothing more is reported. */
void runner_stop_all(struct runner *r, void (*stopped)(void *owner), void *owner);

enum runner_lookup { RUNNER_NO_ALLOC, RUNNER_NO_TASK, RUNNER_NOT_STARTED, RUNNER_FOUND };
/* For readers of files and logs; task NULL: only whether the allocation has a directory here. */
enum runner_lookup runner_find(struct runner *r, const uint8_t alloc[16], const char *task);

/* Whether it is not over, its end is yet to be told, or its disk is yet to go on to another. */
bool runner_has(const struct runner *r, const uint8_t alloc[16]);
/* The servers know it no more: what is left of it goes, if it is over. */
void runner_forget(struct runner *r, const uint8_t alloc[16]);

/* The node's metadata has changed: templates of running tasks may say something else. */
void runner_look_at_templates(struct runner *r);

/* All that are over and told: a user asks for their room. False: not now, ask again. */
bool runner_collect(struct runner *r);

/* Something is to run here, or its end is yet to be told. */
bool runner_has_work(const struct runner *r, bool but_system_jobs);

struct runner_counts {
    size_t allocs, tasks_running, tasks_pending, shims;
};
struct runner_counts runner_count(const struct runner *r);

#endif
