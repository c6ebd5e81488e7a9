/* A driver knows how to make a process of a task. One file and one table of functions each;
 * drivers.c lists them. They only describe what is to run, where, and within which limits: taskshim
 * runs it, so starting, adoption, signals, output, statistics, the kill of a whole tree and
 * cleaning up are the same for all (docs/driver.md). */
#ifndef NODEAGENT_DRIVERS_DRIVER_H
#define NODEAGENT_DRIVERS_DRIVER_H

#include "base/arena.h"
#include "base/err.h"
#include "nodeagent/shim/spec.h"
#include "nodeagent/taskenv.h"
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

/* What the agent's settings docker_... let jobs do. */
struct docker_rules {
    bool privileged, volumes, devices; /* of the node */
    const char *caps;                  /* "NAME,NAME,...": they may be added; "all" is any */
    const char *auth_config;           /* a file with credentials of registries; NULL: none */
    const char *images; /* a directory that remembers those that were brought; NULL: none */
    int64_t pull_timeout_ms;
};

/* What a driver may need of the machine. */
struct driver_host {
    bool root;                 /* the agent runs as root */
    const char *shim;          /* the program taskshim */
    const char *chroot;        /* setting: "PATH,SOURCE:PATH,..." */
    const char *no_cgroups;    /* why limits cannot be kept; NULL: they can */
    char *no_namespaces;       /* why a task gets no namespaces; NULL: it does */
    char *unenforced;          /* "memory,cpu": limits that are not kept; NULL: all are */
    const char *dock;          /* the program taskdock; NULL: none */
    const char *docker_socket; /* of a container engine; NULL: none was found */
    struct docker_rules docker;
};

struct driver_ask {
    struct arena *arena;
    const Pb__TaskGroup *group;
    const Pb__Task *task;
    const json_t *config; /* an object */
    const struct taskenv *env;
    const char *task_dir;  /* TASK, the working directory */
    const char *alloc_dir; /* alloc/, shared by the allocation's tasks */
    const Pb__Node *node;
    const Pb__Alloc *alloc; /* for its ports and what its tasks were given */
    const struct driver_host *host;
    const char *shim_dir; /* out of the task's reach */
    /* The allocation's own network, for who does not leave it to taskshim; NULL: the node's. */
    const char *netns, *hostname, *resolv_conf;
};

struct driver_plan {
    const char *program; /* absolute */
    char **argv;
    size_t argc;
    uint32_t start_delay_ms;
    bool recoverable; /* of a failure: trying again may help */
    struct shim_limits limits;
    struct shim_ulimit ulimits[SHIM_MAX_ULIMITS];
    size_t ulimit_count;
    /* With own_root: what the root is made of; program is sought in there. */
    struct spec_mount *mounts;
    size_t mount_count;
    /* What taskdock is to be told, in JSON, to bring the image; NULL: it needs none. */
    const char *image;
    uint32_t image_timeout_ms;
};

struct driver {
    const char *name;
    const char *const *keys; /* known in the task's config; ends with NULL */
    bool own_root;           /* tasks see /alloc, /local, /secrets and no other file of the node */
    /* An engine makes a container of it: its user, its network, and what it finds in its
     * environment, are not of this node; its directories are as with own_root. The program gets the
     * environment with a + before each name, as it runs outside of the container. */
    bool container;
    const char *default_user; /* NULL: the agent's */
    /* Whether it can work on this machine; NULL: always. Not OK: the reason is told to all. */
    enum err (*fingerprint)(const struct driver_host *h, struct reason *why);
    /* ERR_INVALID: the configuration is wrong. Any other error: it could not start. */
    enum err (*plan)(const struct driver_ask *ask, struct driver_plan *out, struct reason *why);
    /* A command in a task that runs: a program of this node whose standard streams are the
     * command's, and that ends it on HUP. NULL: taskshim starts it beside the task's own. */
    void (*exec)(const struct driver_ask *ask, bool tty, char *const *command, size_t count,
                 struct driver_plan *out);
};

const struct driver *driver_find(const char *name);
const struct driver *driver_at(size_t i); /* NULL: there are no more */

/* The common part: config is JSON and an object, its keys are known, then driver->plan. */
enum err driver_make_plan(const struct driver *d, struct driver_ask *ask, struct driver_plan *out,
                          struct reason *why);

/* Readers of one config value for drivers; an absent one leaves *out. Texts have their ${}
 * expanded. */
enum err config_text(const struct driver_ask *ask, const char *key, const char **out,
                     struct reason *why);
enum err config_number(const struct driver_ask *ask, const char *key, int64_t *out,
                       struct reason *why);
enum err config_bool(const struct driver_ask *ask, const char *key, bool *out, struct reason *why);
enum err config_duration_ms(const struct driver_ask *ask, const char *key, int64_t *out,
                            struct reason *why);
/* A block of names and texts, as HCL writes it or as an object; names ends with NULL. */
enum err config_pairs(const struct driver_ask *ask, const char *key, char ***names, char ***values,
                      struct reason *why);
/* The same as an object of JSON; *out NULL: there is none. */
enum err config_object(const struct driver_ask *ask, const char *key, json_t **out,
                       struct reason *why);
/* Blocks within: each as an ask whose config it is; only these keys are known in it. */
enum err config_blocks(const struct driver_ask *ask, const char *key, const char *const *keys,
                       struct driver_ask **out, size_t *count, struct reason *why);
/* One, or none: then *out is NULL. */
enum err config_block(const struct driver_ask *ask, const char *key, const char *const *keys,
                      struct driver_ask **out, struct reason *why);
/* A list of texts. */
enum err config_list(const struct driver_ask *ask, const char *key, char ***out, size_t *count,
                     struct reason *why);

/* "SIGTERM" or "TERM" to 15; 0: no such signal. */
int signal_number(const char *name);

#endif
