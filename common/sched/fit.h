/* Does it fit? The one rule that schedulers, planqueue and apply share, so that they cannot
 * disagree. */
#ifndef SCHED_FIT_H
#define SCHED_FIT_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DYNAMIC_PORT_MIN 20000
#define DYNAMIC_PORT_MAX 32000

/* A job may displace allocations of jobs whose priority is at least so much lower. */
#define PREEMPT_GAP      10
#define DEFAULT_PRIORITY 50
uint32_t alloc_priority(const Pb__Alloc *alloc); /* of its job, as it was when it was placed */

enum fit { FIT, FIT_CPU, FIT_MEMORY, FIT_DISK, FIT_PORT, FIT_CORES, FIT_DEVICES };

const char *fit_name(enum fit f); /* "cpu", "memory", "disk", "network: port collision", ... */

/* Whether ask and ports fit beside what u already counts. ports[i]->value must be set; twice the
 * same is FIT_PORT. */
enum fit usage_fits(const Pb__NodeUsage *u, const Pb__Amount *ask, Pb__Port *const *ports,
                    size_t port_count);
/* Whether the node has every core and every device instance that is given here, and none of them is
 * given already, or here twice. The grants are sound (wire/grant.h). */
enum fit grants_fit(const Pb__NodeUsage *u, const Pb__Node *node, Pb__TaskGrant *const *grants,
                    size_t count);

#endif
