/* What one node has yet to hear: allocations that the servers changed and the agent has not
 * confirmed by asking again from behind them. A plain value; knows neither sockets nor time. An
 * answer may be lost, so nothing leaves the box when it is sent, only when the agent's next
 * question shows that it came. */
#ifndef GATEWAY_OUTBOX_H
#define GATEWAY_OUTBOX_H

#include "types.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_MAX 512 /* of changes; who falls further behind gets a full list */

struct outbox_entry {
    uint8_t alloc_id[16];
    uint64_t modify_index, alloc_modify_index;
    size_t len;
    uint8_t *packed; /* Pb__Alloc */
};

struct outbox {
    struct outbox_entry *entries;
    size_t count, room, changes;
    uint64_t since; /* the agent has all up to here */
    bool known;     /* entries hold all that changed after since */
    bool full;      /* entries are all that the node has */
};

void outbox_fini(struct outbox *o);
/* Empty, and complete for what changes after index. */
void outbox_begin(struct outbox *o, uint64_t index);
/* Some changes were missed. */
void outbox_lose(struct outbox *o);
/* The agent has all up to since. False: what it lacks is not known here, list. */
bool outbox_confirm(struct outbox *o, uint64_t since);
/* A change from the feed. True: it is news. */
bool outbox_put(struct outbox *o, const Pb__Alloc *alloc);
/* One of a listing; outbox_listed ends it. What is over for the agent is left out. */
void outbox_put_listed(struct outbox *o, const Pb__Alloc *alloc);
void outbox_listed(struct outbox *o);
bool outbox_has_news(const struct outbox *o);
void outbox_check(const struct outbox *o);

#endif
