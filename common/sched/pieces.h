/* What a group asks for that is given piece by piece: whole cores, and instances of devices. For
 * the files of this library.
 *
 * A request for devices is met by instances of one model; which one, is the first that makes all
 * requests of the group fit, tried in the order of what the request's affinities like best, then of
 * the node's list. Cores and instances are given from the lowest on. */
#ifndef SCHED_PIECES_H
#define SCHED_PIECES_H

#include "base/arena.h"
#include "sched/fleet.h"

struct pieces;

/* What a plan has given on one node, or what those will give back that it stops there. */
struct given {
    struct given *next;
    Pb__TaskGrant *const *grants;
    size_t count;
    bool back;
};

/* NULL: the group asks for none. Borrows the group; lives in a. */
struct pieces *pieces_new(struct arena *a, const struct fleet *f, const Pb__TaskGroup *group);

/* Whether nodes of that kind have devices such as are asked for, in such numbers. NULL: they do, or
 * none are asked for; else what is wrong. */
const char *pieces_judge(const struct pieces *p, const struct fleet *f, uint32_t kind);

uint32_t pieces_cores(const struct pieces *p);     /* of all tasks together */
uint32_t pieces_instances(const struct pieces *p); /* of devices, the same */
bool pieces_want_devices(const struct pieces *p);
bool pieces_have_affinity(const struct pieces *p);
/* MHz that the cores of one allocation are on this node. */
int32_t pieces_cpu(const struct pieces *p, const struct fleet *f, uint32_t slot);

/* What one more allocation would find there. */
struct pieces_room {
    uint32_t cores;  /* free */
    bool devices;    /* all requests can be met */
    double affinity; /* -1 to 1; of the devices it would get */
};
struct pieces_room pieces_look(const struct pieces *p, const struct fleet *f, uint32_t slot,
                               const struct given *given);
/* Gives one allocation its pieces. NULL: there are too few. */
struct given *pieces_give(const struct pieces *p, struct arena *a, const struct fleet *f,
                          uint32_t slot, const struct given *given);
/* Which request finds too little there, as people read it: "devices: nvidia/gpu". */
const char *pieces_missing(const struct pieces *p, struct arena *a, const struct fleet *f,
                           uint32_t slot, const struct given *given);

/* Lets each task that has a memory_max use it, in the placement's grants. */
void pieces_allow_memory_max(struct arena *a, const Pb__TaskGroup *group, Pb__Placement *at);

#endif
