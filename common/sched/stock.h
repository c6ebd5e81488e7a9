/* What one node has that is given piece by piece, each to one task: its cores, and the instances of
 * its devices; which of them are used, and which are held by plans on their way. For the files of
 * this library. */
#ifndef SCHED_STOCK_H
#define SCHED_STOCK_H

#include "sched/fit.h"
#include "types.pb-c.h"
#include <stdbool.h>
#include <stdint.h>

#define PIECE_NONE UINT32_MAX

struct instance {
    char *name;     /* "vendor/type/name/id" */
    const char *id; /* its end */
    uint32_t model; /* place among the kind's models */
    bool healthy;
};

/* Names or numbers that are taken, in no order; one may stand there twice. */
struct taken_pieces {
    uint32_t *cores;
    uint32_t core_count, core_room;
    char **names;
    uint32_t name_count, name_room;
};

struct stock {
    uint32_t core_mhz; /* what one core is of the node's cpu */
    uint32_t *cores;   /* sorted */
    bool *core_free;
    uint32_t core_count, free_cores;
    struct instance *instances; /* by model, then id */
    bool *instance_free;
    uint32_t instance_count;
    struct taken_pieces used, held;
};

/* *stock NULL: the node has nothing of the kind, and nothing is taken. Each may make it or change
 * it.
 */
void stock_set_node(struct stock **stock, const Pb__Node *node);
void stock_set_usage(struct stock **stock, const Pb__NodeUsage *usage);
void stock_forget(struct stock *s); /* the records; what is held stays */
/* One core, or where name is not NULL that instance. */
void stock_hold(struct stock **stock, uint32_t core, const char *name);
void stock_release(struct stock *s, uint32_t core, const char *name);
/* Another node's with nothing taken; NULL for NULL. */
struct stock *stock_like(const struct stock *s);
/* As it is, with all that is taken. */
struct stock *stock_copy(const struct stock *s);
void stock_free(struct stock *s);

/* PIECE_NONE: the node has no such core, no such instance. */
uint32_t stock_core(const struct stock *s, uint32_t core);
uint32_t stock_instance(const struct stock *s, const char *name);
/* Whether all of these are there and free, each given once. s may be NULL. displaces: what is used
 * counts as free, but not what is held. */
enum fit stock_fits(const struct stock *s, Pb__TaskGrant *const *grants, size_t count,
                    bool displaces);

#endif
