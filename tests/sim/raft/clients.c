/* Clients: they write, read, and remember what they were told. */
#include "invariants.h"
#include <stdlib.h>
#include <string.h>

bool clients_propose(struct world *w, struct node *n)
{
    uint8_t data[RECORD_BYTES] = {0};
    uint64_t index, value = ++w->next_value;
    size_t len = 8 + (size_t)prng_below(&w->chance, 24);
    memcpy(data, &value, sizeof value);
    if (n->raft == NULL || raft_propose(n->raft, data, len, &index) != OK)
        return false;
    if (w->waiting_count == w->waiting_room) {
        w->waiting_room = w->waiting_room * 2 + 16;
        w->waiting = xrealloc(w->waiting, w->waiting_room * sizeof *w->waiting);
    }
    unsigned slot = slot_of(w, n);
    w->waiting[w->waiting_count++] = (struct waiting){
        .index = index, .term = n->raft->hard.term, .node = slot, .epoch = w->epoch[slot]};
    return true;
}

bool clients_ask(struct world *w, struct node *n)
{
    uint64_t context = ++w->next_value;
    if (n->raft == NULL || raft_read_index(n->raft, context) != OK)
        return false;
    if (w->read_count == w->read_room) {
        w->read_room = w->read_room * 2 + 16;
        w->reads = xrealloc(w->reads, w->read_room * sizeof *w->reads);
    }
    unsigned slot = slot_of(w, n);
    w->reads[w->read_count++] = (struct pending_read){
        .context = context, .least = w->max_commit, .node = slot, .epoch = w->epoch[slot]};
    return true;
}

/* The node that a client asked answers when it has applied the entry, and it is the one asked for.
 */
void clients_applied(struct world *w, struct node *n, const struct raft_entry *e)
{
    unsigned slot = slot_of(w, n);
    for (size_t i = 0; i < w->waiting_count;) {
        struct waiting *p = &w->waiting[i];
        bool gone = p->epoch != w->epoch[p->node];
        if (!gone && (p->node != slot || p->index > e->index)) {
            i++;
            continue;
        }
        if (!gone && p->index == e->index && p->term == e->term) {
            w->counts.acks++;
            if (e->index > w->max_acked)
                w->max_acked = e->index;
        }
        *p = w->waiting[--w->waiting_count];
    }
}

/* Linearizable: what anyone had committed when the read was asked is in the answer [6.4]. */
void clients_answered(struct world *w, struct node *n, uint64_t context, uint64_t index)
{
    for (size_t i = 0; i < w->read_count;) {
        struct pending_read *p = &w->reads[i];
        if (p->epoch != w->epoch[p->node]) {
            *p = w->reads[--w->read_count];
            continue;
        }
        if (p->context != context) {
            i++;
            continue;
        }
        w->counts.reads++;
        if (index < p->least)
            fail(w, "a read by %llu sees entry %llu, though %llu was committed when it began",
                 (unsigned long long)n->id, (unsigned long long)index,
                 (unsigned long long)p->least);
        *p = w->reads[--w->read_count];
        return;
    }
}

void clients_act(struct world *w)
{
    struct node *n = &w->nodes[prng_below(&w->chance, w->node_count)];
    struct node *l = world_leader(w);
    if (l != NULL && prng_below(&w->chance, 4) != 0)
        n = l;
    if (prng_below(&w->chance, 4) == 0 && world_stale_leader(w) != NULL)
        n = world_stale_leader(w);
    if (n->raft == NULL)
        return;
    uint64_t writes = prng_below(&w->chance, 4);
    for (uint64_t i = 0; i < writes; i++)
        clients_propose(w, n);
    if (prng_below(&w->chance, 3) == 0)
        clients_ask(w, n);
    after_step(w, n);
}
