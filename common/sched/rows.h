/* The fleet's arrays, for the files of this library only: everyone else asks fleet.h. */
#ifndef SCHED_ROWS_H
#define SCHED_ROWS_H

#include "base/list.h"
#include "base/map.h"
#include "sched/fleet.h"

enum {
    ROW_KNOWN = 1,    /* a Node record is there */
    ROW_READY = 2,    /* status READY */
    ROW_ELIGIBLE = 4, /* eligible and not draining */
    ROW_DOWN = 8,
    ROW_USAGE = 16, /* a NodeUsage record is there */
};
#define ROW_CANDIDATE (ROW_KNOWN | ROW_READY | ROW_ELIGIBLE)

/* "key\0value\0key\0value\0", as many bytes as size says. */
struct texts {
    char *data;
    size_t size;
};

struct model;
struct stock;

struct kind {
    struct texts texts;
    const char *datacenter, *node_class, *computed_class, *pool; /* in texts; "" if unset */
    uint32_t nodes;                                              /* 0: free to be used again */
    struct model *models;                                        /* devices: sched/model.h */
    uint32_t model_count;
};

/* A node pool that says how its jobs are placed. */
struct pool {
    char *name;
    bool spreads; /* the algorithm "spread", not "binpack" */
};

/* Sorted, without doubles where it holds a record's ports; in order of coming where it holds
 * plans'.
 */
struct port_set {
    uint16_t *ports;
    uint32_t count, room;
};

struct fleet {
    uint64_t index;
    uint32_t count, room;
    uint32_t known;    /* nodes with ROW_KNOWN */
    struct id *ids;    /* by slot, as all that follow */
    uint32_t *by_id;   /* slots in order of their ids */
    uint32_t *kind_of; /* SLOT_NONE unless known */
    uint8_t *flags;
    struct texts *unique;
    int32_t *cpu, *memory, *disk;                /* capacity */
    int32_t *free_cpu, *free_memory, *free_disk; /* beside used and held */
    struct used {
        int64_t cpu, memory, disk;
    } * used, *held;
    struct port_set *ports, *held_ports;
    struct stock **stock; /* cores and devices; NULL: the node has none */
    struct kind *kinds;
    uint32_t kind_count, kind_room;
    struct map *kind_by_text; /* texts -> 1 + place in kinds */
    struct pool *pools;       /* those that say nothing are left out */
    uint32_t pool_count;
    struct link holds;
};

void fleet_set_pool(struct fleet *f, const Pb__NodePool *pool);
void fleet_remove_pool(struct fleet *f, const char *name);
void fleet_copy_pools(struct fleet *to, const struct fleet *f);
void fleet_drop_pools(struct fleet *f);

/* NULL: not there. */
const char *texts_get(const struct texts *t, const char *key);
void port_set_room(struct port_set *s, uint32_t room);
/* Works out what is free there, after a change of capacity, use or holds. */
void fleet_count_free(struct fleet *f, uint32_t slot);
void fleet_drop_holds(struct fleet *f);
/* A new node like the one in that slot, with nothing on it and without unique texts. */
uint32_t fleet_add_empty(struct fleet *f, const uint8_t id[ID_SIZE], uint32_t like);
/* Of this node's ports, how many from the dynamic range are in use. */
uint32_t fleet_dynamic_ports_used(const struct fleet *f, uint32_t slot);

#endif
