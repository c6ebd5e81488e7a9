/* The agent's end of one taskshim. */
#ifndef NODEAGENT_SUPERVISOR_H
#define NODEAGENT_SUPERVISOR_H

#include "base/err.h"
#include "logrelay.h"
#include "loop/loop.h"
#include "shim/shim.h"
#include "shim/spec.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct supervisor;

/* Callbacks are never made before supervisor_spawn or supervisor_attach has returned. Inside them
 * the supervisor may be closed. */
struct supervisor_handlers {
    void (*on_state)(void *owner, const struct shim_message *m); /* STARTED, START_FAILED, EXITED */
    void (*on_lost)(void *owner); /* the shim has died: look at supervisor_last_state */
    void *owner;
};

struct supervisor_spec {
    const char *shim; /* the program taskshim */
    const char *dir;  /* its directory; exists */
    const char *log_dir, *task, *cwd;
    enum shim_tree tree;
    const char *cgroup, *shims_cgroup;
    const char *program;
    const char *cpus; /* "": any; controllers[SHIM_CPUSET] is kept to them */
    bool own_cores;   /* it must not start without them */
    /* NULL: the node's. A network namespace by its path, a name, a file for /etc/resolv.conf. */
    const char *netns, *hostname, *resolv_conf;
    char *const *argv;
    size_t argc;
    char *const *envp;
    size_t envc;
    uint32_t max_files;
    uint64_t max_file_bytes;
    struct log_relay relay;
    bool set_user;
    uint32_t uid, gid;
    const uint32_t *groups;
    size_t group_count;
    const char *controllers[SHIM_CONTROLLERS]; /* NULL: none */
    bool limits_v2;
    struct shim_limits limits;
    const struct shim_ulimit *ulimits;
    size_t ulimit_count;
    bool isolate;
    const struct spec_mount *mounts; /* for a task with a root of its own */
    size_t mount_count;
};

/* The specification as the shim reads it, in memory of its own; -1: it cannot be had. */
int supervisor_spec_memory(const struct supervisor_spec *spec, struct reason *why);
/* Runs the program with fds as its descriptors from SHIM_FD_SPEC on. */
enum err supervisor_run(const char *shim, char *const argv[], const int *fds, size_t count,
                        struct reason *why);
/* Makes the socket, then the shim, which starts the task at once. */
enum err supervisor_spawn(struct supervisor **out, struct loop *l,
                          const struct supervisor_spec *spec, const struct supervisor_handlers *h,
                          struct reason *why);
/* Finds one that is there already. ERR_NOT_FOUND: none lives; then see supervisor_last_state. */
enum err supervisor_attach(struct supervisor **out, struct loop *l, const char *dir,
                           const struct supervisor_handlers *h, struct reason *why);
/* Lets go of it; shim and task live on. */
void supervisor_close(struct supervisor *s);

void supervisor_signal(struct supervisor *s, int number);
void supervisor_kill(struct supervisor *s, int number, int64_t timeout_ns);
/* Its end has been noted: it cleans up and exits. Takes s. */
void supervisor_release(struct supervisor *s);

/* What a shim that no longer lives wrote last. False: it never got so far. */
bool supervisor_last_state(const char *dir, struct shim_message *out);
/* Whether the process of m is still the one it was: its pid with its start time. */
bool supervisor_process_lives(const struct shim_message *m);

#endif
