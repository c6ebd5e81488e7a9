/* What broker.c, slots.c, deliver.c and items.c share: an evaluation that is tracked, the job whose
 * slot it may hold, and the queue and the worker it may be with. */
#ifndef EVALBROKER_ITEMS_H
#define EVALBROKER_ITEMS_H

#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "broker.h"
#include "capacity.h"

/* Where a tracked evaluation is. Each place says which of the item's links are in use. */
enum place {
    NOWHERE,
    DELAYED, /* wait_until has not come: timer */
    WAITING, /* the job's slot is taken: job->next */
    READY,   /* in the slot, in its type's heap */
    OUT,     /* in the slot, at a worker: owner's list, timer */
    ACKED,   /* in the slot until the feed shows how it ended: acked list, timer */
    BACKOFF, /* in the slot after a nack: timer */
    BLOCKED, /* job->blocked */
    ENDING,  /* to be cancelled or failed: ending list, or proposed and on the timer */
};

struct queue { /* of one scheduler type */
    char *type;
    struct heap ready;
    size_t refs;
};

/* What blocked evaluations have found out about classes of nodes: of thousands most have found the
 * same, and wait together. */
struct shape {
    struct findings *findings;
    bool escaped;
    struct heap waiting; /* those that saw least first */
    size_t refs;
    size_t key_len;
    char key[]; /* all of it, as bytes */
};

struct job {
    struct item *slot, *next, *blocked;
    size_t refs;
    size_t key_len;
    char key[]; /* namespace NUL id */
};

struct owner {
    uint64_t id;
    struct link out;
};

struct item {
    uint8_t id[ID_SIZE];
    enum place place;
    struct job *job;
    struct queue *queue;
    struct heap_item order; /* READY: in its queue; BLOCKED: in its shape, but for what waits only
                               for the slot */
    struct heap_item timer;
    struct link link;
    uint64_t due_ms;
    uint64_t sequence; /* makes the order of timers total */

    uint8_t *packed; /* the evaluation, without its reports */
    size_t packed_len;
    Pb__Eval__Status status;
    uint32_t priority, deliveries_before;
    uint64_t create_index, modify_index;
    int64_t wait_until, create_time;
    uint64_t snapshot_index; /* BLOCKED: capacity freed later is news */
    struct shape *shape;     /* NULL: it is not blocked */

    uint64_t token;
    struct owner *owner;
    uint32_t attempts, lost;  /* deliveries that count, and those that died with their worker */
    uint64_t delivered_index; /* its modify_index then */
    uint64_t acked_index;
    uint64_t woken_index;
    bool fail; /* ENDING: fail it, rather than cancel */
    uint32_t epoch;
};

struct broker {
    struct broker_settings set;
    struct map *items;
    struct map *jobs;
    struct map *queues;
    struct map *owners;
    struct heap timers;
    struct map *shapes;
    struct link acked, ending;
    struct capacity *capacity;
    uint64_t reached;
    uint64_t capacity_seen; /* of the capacity's last_freed, by the blocked ones */
    uint64_t next_sequence;
    uint64_t delivered, failed;
    size_t in_place[ENDING + 1];
    uint32_t epoch;
    bool reloading, overflow;
};

/* ---- items.c: what is tracked, and under which names */

bool item_more_urgent(const struct heap_item *x, const struct heap_item *y);
bool item_due_earlier(const struct heap_item *x, const struct heap_item *y);

struct job *job_find(const struct broker *b, const Pb__Eval *e);
struct owner *owner_get(struct broker *b, uint64_t id);
void owner_release_if_idle(struct broker *b, struct owner *o);

/* A new one is NOWHERE and knows only its id, job and queue: item_read tells it the rest. */
struct item *item_new(struct broker *b, const Pb__Eval *e);
void item_read(struct broker *b, struct item *it, const Pb__Eval *e);
/* Takes it out of wherever it is, and frees it; it stays in b->items, and its job is not advanced.
 */
void item_free(struct broker *b, struct item *it);

/* ---- slots.c: moving between places */

void item_move(struct broker *b, struct item *it, enum place to);
void item_set_timer(struct broker *b, struct item *it, uint64_t due_ms);
/* Out of the heap that it is in for its place, before what orders it there changes. */
void item_unorder(struct item *it);
/* Takes it out of wherever it is. Whoever calls this advances the job afterwards. */
void item_leave(struct broker *b, struct item *it);
void item_make_ready(struct broker *b, struct item *it);
/* To be cancelled, or failed. */
void item_end(struct broker *b, struct item *it, bool fail);
/* A pending one whose time has come. */
void item_enter(struct broker *b, struct item *it);
/* A new or changed one, to where its status and time say. */
void item_admit(struct broker *b, struct item *it, struct moment now);
/* A delivery came to nothing. */
void item_retry(struct broker *b, struct item *it, uint64_t delay_ms, struct moment now);
uint64_t item_nack_delay(const struct broker *b, const struct item *it);
/* What was planned has become, or stayed, a blocked one. */
void item_settle_blocked(struct broker *b, struct item *it);
/* Fills an empty slot. */
void job_advance(struct broker *b, struct job *j);

/* ---- blocked.c: what waits for capacity */

/* Of what the evaluation found out; NULL for one that is not blocked. */
struct shape *shape_get(struct broker *b, const Pb__Eval *e);
void shape_release(struct broker *b, struct shape *s);
/* Of a blocked one whose job's slot is free: the index of the capacity that may fit it. 0: there is
 * none, and it waits in its shape. */
uint64_t item_await_capacity(struct broker *b, struct item *it);
/* Those that new capacity may fit. */
void broker_wake_blocked(struct broker *b);

#endif
