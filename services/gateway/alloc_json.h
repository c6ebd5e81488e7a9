/* An allocation as Nomad shows it. Ours refers to its job, node and evaluation; what Nomad embeds
 * is derived from them here. Pure. */
#ifndef GATEWAY_ALLOC_JSON_H
#define GATEWAY_ALLOC_JSON_H

#include "types.pb-c.h"
#include <jansson.h>
#include <stdbool.h>

struct alloc_parts {
    const Pb__Alloc *alloc;
    const Pb__AllocTasks *tasks; /* NULL: none yet */
    const char *job_type, *node_name, *node_ip;
    const Pb__Job *job;   /* NULL: gone, or not wanted */
    const Pb__Eval *eval; /* NULL: gone, or not wanted */
};

json_t *alloc_stub_json(const struct alloc_parts *p, bool with_resources, bool with_tasks);
json_t *alloc_full_json(const struct alloc_parts *p);

/* The resources of a group, divided by task. */
json_t *alloc_resources_json(const struct alloc_parts *p);

#endif
