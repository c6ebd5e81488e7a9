/* What one allocation of a task group takes from a node: the sum of its tasks, and its ports. */
#ifndef SCHED_ASK_H
#define SCHED_ASK_H

#include "base/arena.h"
#include "sched/fleet.h"
#include "sched/pieces.h"
#include <stdbool.h>
#include <stdint.h>

struct ask {
    Pb__Amount *amount;
    const Pb__Port **fixed; /* value is set */
    size_t fixed_count;
    const Pb__Port **dynamic;
    size_t dynamic_count;
    bool conflicting;            /* asks for one static port twice: fits nowhere */
    const struct pieces *pieces; /* cores and devices; NULL: none */
};

/* Borrows the group and its pieces; lives in a. */
void ask_init(struct ask *k, struct arena *a, const Pb__TaskGroup *group,
              const struct pieces *pieces);

/* A port given out by the plan being made, on one node. */
struct taken_port {
    struct taken_port *next;
    uint32_t port;
};

/* Which of k->fixed is not free there, the first; fixed_count: all are. */
size_t ask_taken_static(const struct ask *k, const struct fleet *f, uint32_t slot,
                        const struct taken_port *taken);

/* Gives out the ports of one allocation: static ones as asked, dynamic ones from where seed points
 * to, so that a port just given back rests for a while. All distinct and free. False: too few are
 * left. */
bool ask_give_ports(const struct ask *k, struct arena *a, const struct fleet *f, uint32_t slot,
                    struct taken_port **taken, uint64_t seed, Pb__Port ***out, size_t *count);

#endif
