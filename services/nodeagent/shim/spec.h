/* The specification as it lies in the shared memory: pointers into it, nothing copied. */
#ifndef NODEAGENT_SHIM_SPEC_H
#define NODEAGENT_SHIM_SPEC_H

#include "shim.h"
#include <stdbool.h>
#include <stddef.h>

struct spec_mount {
    const char *source, *place; /* place: without a leading slash */
    bool writable, device;
};

struct spec_view {
    const struct shim_spec *head;
    const char *dir, *log_dir, *task, *cwd, *cgroup, *shims_cgroup, *program, *cpus;
    const char *netns, *hostname, *resolv_conf, *relay_socket, *relay_head;
    const char *controllers[SHIM_CONTROLLERS];
    const char *mounts;  /* the strings of mounts */
    const char *strings; /* of argv, then envp */
    void *map;
};

bool spec_map(struct spec_view *v, int fd);
/* argc + 1 + envc + 1 pointers into room, NULL after each part. */
void spec_vectors(const struct spec_view *v, char **room);
/* The mount at *at, which begins as v->mounts and moves on. */
struct spec_mount spec_next_mount(const struct spec_view *v, const char **at);
void spec_unmap(struct spec_view *v);

#endif
