/* The networks that allocations have of their own: made by tasknet, one run after the other beside
 * the loop, kept over the agent's end, and taken down when the last task has ended. */
#ifndef NODEAGENT_NETWORKS_H
#define NODEAGENT_NETWORKS_H

#include "launch.h"
#include "loop/loop.h"
#include "supervisor.h"

struct networks;

struct networks_options {
    const char *tasknet;  /* the program */
    const char *data_dir; /* they are in netns/ there */
    const char *bridge, *subnet;
    const char *cni_path, *cni_config_dir;
};

/* ERR_INVALID: a setting cannot be used. All borrowed. */
enum err networks_new(struct networks **out, struct loop *l, const struct networks_options *o,
                      struct reason *why);
/* What was made stays. */
void networks_free(struct networks *n);
/* After runner_restore: what is left of allocations that are gone goes, and ports lead again where
 * they should. */
void networks_start(struct networks *n, struct runner *r);

/* What this machine can do, tried out: Node.networks, and attributes that say so or why not. */
void networks_fingerprint(const struct networks_options *o, struct arena *a, Pb__Node *node);

/* Makes it before the first task, and takes it down. */
extern const struct alloc_step network_step;
/* Of an allocation whose step has been ready. NULL: it uses the node's. */
const Pb__LocalNetwork *networks_made(const struct alloc_run *run);
void networks_fill_spec(const struct launch *l, struct supervisor_spec *spec);
void networks_tell(const struct alloc_run *run, struct arena *a, Pb__AllocUpdate *u);

#endif
