/* Where a container's processes are kept, and whether the kernel killed some of them for want of
 * memory: its own counter is asked, since not every engine tells. */
#ifndef NODEAGENT_DOCK_MEMORY_H
#define NODEAGENT_DOCK_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH 768

struct cgroup_paths {
    char tree[CGROUP_PATH], memory[CGROUP_PATH], cpu[CGROUP_PATH]; /* "": none */
};

/* By the texts of /proc/PID/cgroup and /proc/self/mountinfo. Pure. */
void cgroup_paths_read(const char *cgroup, const char *mountinfo, struct cgroup_paths *out);
void cgroup_paths_of(pid_t pid, struct cgroup_paths *out);

struct memory_watch {
    int event; /* to be polled for `events`; -1: nothing can be told */
    short events;
    int counter;
    uint64_t kills; /* so far */
};

void memory_watch_open(struct memory_watch *w, const char *memory);
void memory_watch_take(struct memory_watch *w); /* after an event */
void memory_watch_close(struct memory_watch *w);

#endif
