/* From fork to exec: what makes a child of taskshim the task's process, or a command's beside it.
 * What fails is written to `report`, a pipe that exec closes. libc only. */
#ifndef NODEAGENT_SHIM_CHILD_H
#define NODEAGENT_SHIM_CHILD_H

#include "spec.h"
#include <stdint.h>
#include <sys/types.h>

struct child_error {
    int error;
    char what[64];
};

_Noreturn void child_fails(int report, const char *what); /* errno says why */
/* A session of its own, and nothing of what the agent's parent or the shim wanted of the kernel. */
void child_begin(void);
void child_become_user(const struct shim_spec *h, int report);
/* Last: the task's directory, its confinement, and exec of v->program with vectors (of
 * spec_vectors). A program without a slash is sought along the task's PATH, as far as it can see,
 * and first in /local where it has a root of its own. */
_Noreturn void child_exec(const struct spec_view *v, char **vectors, int report);

/* Field 22 of /proc/PID/stat, by which a process differs from a later one with its pid; 0: none. */
uint64_t child_start_time(pid_t pid);
/* Out of the agent's cgroup: systemd would take us for its left-over at every restart of it. */
void child_leave_agents_cgroup(const char *shims_cgroup);

#endif
