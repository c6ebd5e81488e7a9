/* What nodeagent and taskshim say to one another. taskshim is the parent of one task: it starts it,
 * keeps its output in size-rotated files, kills it with all it left behind, and holds its exit
 * status until an agent has acknowledged it. It outlives the agent; the next agent connects to the
 * socket `sock` in the shim's directory and goes on.
 *
 * SIGTERM, which every process gets when the machine is shut down, has it leave as soon as its task
 * has ended, also unacknowledged: the end is in the file `state` of its directory. It does not end
 * the task.
 *
 * The agent gives a new shim three descriptors: the specification (sealed memory), the listening
 * socket (bound by the agent, so that it exists before the shim does: an agent that dies in between
 * cannot miss it), and one end of a connected pair. All sockets are SOCK_SEQPACKET and carry struct
 * shim_message. */
#ifndef NODEAGENT_SHIM_SHIM_H
#define NODEAGENT_SHIM_SHIM_H

#include <stdint.h>

enum { SHIM_FD_SPEC = 3, SHIM_FD_LISTEN = 4, SHIM_FD_AGENT = 5 };

#define SHIM_MAGIC         0x4d484953u /* "SHIM" */
#define SHIM_VERSION       5
#define SHIM_MAX_GROUPS    64
#define SHIM_MAX_SPEC      (4u << 20)
#define SHIM_MAX_MOUNTS    128
#define SHIM_MAX_ULIMITS   16
#define SHIM_CPU_PERIOD_US 100000u

enum shim_tree {                     /* how all of a task's processes are found when it must go */
                 SHIM_TREE_WALK = 0, /* the shim's descendants; orphans come to it, a subreaper */
                 SHIM_TREE_CGROUP2 = 1,
                 SHIM_TREE_FREEZER = 2, /* cgroup v1 */
};

/* The controllers of cgroups that limit a task. Without one its limits are not kept. */
enum shim_controller { SHIM_MEMORY, SHIM_CPU, SHIM_PIDS, SHIM_IO, SHIM_CPUSET, SHIM_CONTROLLERS };

struct shim_limits { /* 0: none */
    uint64_t memory_bytes, memory_reserved_bytes;
    uint32_t cpu_shares;
    uint32_t cpu_quota_us; /* of each SHIM_CPU_PERIOD_US */
    uint32_t pids;
    uint32_t io_weight; /* 1 to 10000 */
};

enum shim_relay { SHIM_RELAY_NONE, SHIM_RELAY_SYSLOG, SHIM_RELAY_JOURNALD };

struct shim_ulimit {
    uint64_t soft, hard;
    uint32_t resource, reserved; /* RLIMIT_... */
};

/* Strings follow, each ending in NUL: dir, log_dir, task, cwd, cgroup, shims_cgroup, program, cpus,
 * netns, hostname, resolv_conf (what it has of a network of its own; "": the node's), relay_socket,
 * relay_head (relay.h: the tag for syslog, or lines KEY=VALUE for the journal), the task's
 * directory of each controller ("": there is none), then for each mount its source, its
 * place and "r", "w" or "d" (a device), then argc arguments and envc variables. With `isolate` the
 * task has namespaces and a root of its own (room.h): cwd, program and the places of mounts are
 * paths in there. */
struct shim_spec {
    uint32_t magic, version;
    uint32_t size; /* of all */
    uint32_t tree; /* enum shim_tree; cgroup names a directory unless it is SHIM_TREE_WALK */
    uint32_t argc, envc;
    uint32_t max_files; /* of each stream of output; 0: none is written */
    uint32_t set_user;  /* 0: stay who we are */
    uint64_t max_file_bytes;
    uint32_t uid, gid;
    uint32_t group_count;
    uint32_t groups[SHIM_MAX_GROUPS];
    uint32_t isolate, mount_count;
    uint32_t limits_v2; /* the controllers' directories are of cgroup2 */
    /* 1: the cores in `cpus` are the task's own, and it must not start without them. 0: they are
     * where it is to keep to; with v1 its cpuset directory is there already, and shared. */
    uint32_t own_cores;
    uint32_t ulimit_count;
    uint32_t relay, relay_facility; /* enum shim_relay: where output goes besides files */
    struct shim_limits limits;
    struct shim_ulimit ulimits[SHIM_MAX_ULIMITS];
};

enum shim_kind {
    /* shim to agent: the state, sent when it changes and as the answer to SHIM_STATUS */
    SHIM_STARTED = 1,
    SHIM_START_FAILED = 2, /* text says why, error is the errno */
    SHIM_EXITED = 3,
    SHIM_STREAMS = 4, /* of a visit only: its descriptors come along (visit.h) */
    /* agent to shim */
    SHIM_STATUS = 10,
    SHIM_SIGNAL = 11, /* signal, to the task's first process */
    SHIM_KILL = 12,   /* signal, and timeout_ms later SIGKILL to the whole tree */
    SHIM_ACK = 13,    /* the end has been noted: clean up and exit. Ignored while the task runs */
};

struct shim_message {
    uint32_t magic;
    uint16_t version, kind;
    int32_t pid; /* of the task's first process */
    int32_t exit_code;
    int32_t signal;
    int32_t error;
    union {
        uint32_t timeout_ms; /* of SHIM_KILL */
        uint32_t relay_lost; /* from the shim: lines that did not get to syslog or journald */
    };
    uint32_t oom_kills;  /* how often the kernel killed for its memory limit */
    uint64_t pid_start;  /* field 22 of /proc/PID/stat: the pid may be used again */
    int64_t started_at;  /* ns since 1970 */
    int64_t finished_at; /* ns since 1970 */
    uint64_t max_rss_kb;
    char text[160];
};

/* The file `state` in the shim's directory holds one struct shim_message of the latest state,
 * replaced by rename and synced once the task has ended. */

#endif
