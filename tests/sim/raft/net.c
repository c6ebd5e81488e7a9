#include "invariants.h"
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_TIME 40u

/* Messages are copied as a real network would: what they point to is the core's. */
static struct packet *packet_new(const struct raft_message *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->entry_count; i++)
        bytes += m->entries[i].len;
    struct packet *p = xmalloc(sizeof *p + m->entry_count * sizeof *p->entries + bytes);
    p->message = *m;
    p->entries = (struct raft_entry *)(void *)(p + 1);
    p->state = NULL;
    uint8_t *data = (uint8_t *)(p->entries + m->entry_count);
    for (size_t i = 0; i < m->entry_count; i++) {
        p->entries[i] = m->entries[i];
        p->entries[i].data = data;
        if (m->entries[i].len > 0)
            memcpy(data, m->entries[i].data, m->entries[i].len);
        data += m->entries[i].len;
    }
    p->message.entries = p->entries;
    return p;
}

void packet_free(struct packet *p)
{
    if (p != NULL)
        free(p->state);
    free(p);
}

static void put_on_the_way(struct world *w, unsigned from, unsigned to,
                           const struct raft_message *m)
{
    const struct faults *f = &w->faults;
    uint64_t delay = between(w, f->delay_min, f->delay_max);
    if (one_in_thousand(w, f->straggler))
        delay += between(w, 100, 3000);
    if (f->fifo) {
        if (w->now + delay < w->fifo_last[from][to])
            delay = w->fifo_last[from][to] - w->now;
        w->fifo_last[from][to] = w->now + delay;
    }
    world_schedule(
        w, (struct event){.kind = EVENT_MESSAGE, .node = to, .peer = from, .packet = packet_new(m)},
        delay);
}

/* The owner of a leader streams its state, not the message: it comes late, whole or not at all. */
static void send_snapshot(struct world *w, struct node *n, const struct raft_message *m)
{
    unsigned to = (unsigned)m->to - 1;
    bool lost = w->faults.lost_snapshots && one_in_thousand(w, 300);
    struct packet *p = packet_new(m);
    p->state = xmalloc(sizeof *p->state);
    *p->state = n->state;
    p->message.from = n->id;
    w->counts.snapshots++;
    struct event e = {
        .kind = EVENT_SNAPSHOT_COMES, .node = to, .peer = slot_of(w, n), .ok = !lost, .packet = p};
    world_schedule(w, e, between(w, 1, SNAPSHOT_TIME));
}

void net_send(struct world *w, struct node *n, const struct raft_message *m)
{
    unsigned from = slot_of(w, n), to = (unsigned)m->to - 1;
    must(m->from == n->id && m->to != n->id && m->to >= 1 && m->to <= w->node_count);
    w->counts.messages++;
    if (m->type == RAFT_SNAPSHOT) {
        send_snapshot(w, n, m);
        return;
    }
    if (w->cut[from][to] || one_in_thousand(w, w->faults.drop))
        return;
    put_on_the_way(w, from, to, m);
    if (one_in_thousand(w, w->faults.duplicate))
        put_on_the_way(w, from, to, m);
}

void net_deliver(struct world *w, struct event *e)
{
    const struct raft_message *m = &e->packet->message;
    struct node *n = &w->nodes[e->node];
    if (n->raft == NULL || w->cut[e->peer][e->node])
        return;
    trace(w, "%llu->%llu type=%d term=%llu index=%llu log_term=%llu commit=%llu n=%zu%s ctx=%llu",
          (unsigned long long)m->from, (unsigned long long)m->to, (int)m->type,
          (unsigned long long)m->term, (unsigned long long)m->index,
          (unsigned long long)m->log_term, (unsigned long long)m->commit, m->entry_count,
          m->refused ? " refused" : "", (unsigned long long)m->context);
    raft_step(n->raft, m);
    after_step(w, n);
}

void net_snapshot_comes(struct world *w, struct event *e)
{
    struct node *n = &w->nodes[e->node];
    bool ok = e->ok && n->raft != NULL && !w->cut[e->peer][e->node];
    if (ok) {
        trace(w, "node %llu gets the state of %llu", (unsigned long long)n->id,
              (unsigned long long)e->packet->state->index);
        node_take_snapshot(n, e->packet->state);
        after_step(w, n);
    }
    world_schedule(w,
                   (struct event){.kind = EVENT_SNAPSHOT_ENDS,
                                  .node = (unsigned)e->peer,
                                  .epoch = w->epoch[e->peer],
                                  .peer = n->id,
                                  .index = e->packet->state->index,
                                  .ok = ok},
                   between(w, 1, SNAPSHOT_TIME));
}
