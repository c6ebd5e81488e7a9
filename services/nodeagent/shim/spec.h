/* The specification as it lies in the shared memory: pointers into it, nothing copied. */
#ifndef NODEAGENT_SHIM_SPEC_H
#define NODEAGENT_SHIM_SPEC_H

#include "shim.h"
#include <stdbool.h>
#include <stddef.h>

struct spec_view {
    const struct shim_spec *head;
    const char *dir, *log_dir, *task, *cwd, *cgroup, *shims_cgroup, *program;
    const char *strings; /* of argv, then envp */
    void *map;
};

bool spec_map(struct spec_view *v, int fd);
/* argc + 1 + envc + 1 pointers into room, NULL after each part. */
void spec_vectors(const struct spec_view *v, char **room);
void spec_unmap(struct spec_view *v);

#endif
