#include "invariants.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void fail(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->failure[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
    trace(w, "FAILURE %s", w->failure);
}

/* ---- election safety: one leader a term */

static void check_leader(struct world *w, const struct node *n, uint64_t term)
{
    if (term >= w->leader_room) {
        size_t room = (size_t)term * 2 + 64;
        w->leaders = xrealloc(w->leaders, room * sizeof *w->leaders);
        memset(w->leaders + w->leader_room, 0, (room - w->leader_room) * sizeof *w->leaders);
        w->leader_room = room;
    }
    if (w->leaders[term] != 0 && w->leaders[term] != n->id)
        fail(w, "two leaders of term %llu: %llu and %llu", (unsigned long long)term,
             (unsigned long long)w->leaders[term], (unsigned long long)n->id);
    w->leaders[term] = n->id;
}

/* ---- leader completeness: what was committed in an earlier term is in a new leader's log */

struct committed *world_committed(struct world *w, uint64_t index)
{
    if (index >= w->log_room) {
        size_t room = (size_t)index * 2 + 256;
        w->log = xrealloc(w->log, room * sizeof *w->log);
        memset(w->log + w->log_room, 0, (room - w->log_room) * sizeof *w->log);
        w->log_room = room;
    }
    return &w->log[index];
}

static void check_completeness(struct world *w, const struct node *n, uint64_t term)
{
    const struct raft_log *l = &n->raft->log;
    for (uint64_t i = l->base + 1; i <= w->max_commit; i++) {
        const struct committed *c = world_committed(w, i);
        if (c->term != 0 && c->by_term < term && log_term(l, i) != c->term)
            fail(w, "leader %llu of term %llu lacks entry %llu, committed in term %llu",
                 (unsigned long long)n->id, (unsigned long long)term, (unsigned long long)i,
                 (unsigned long long)c->by_term);
    }
}

/* ---- commits */

/* An entry that a leader commits lies on the disks of a majority of its members. */
static void check_majority(struct world *w, const struct node *n, uint64_t index, uint64_t term)
{
    size_t voters = 0, have = 0;
    for (size_t i = 0; i < n->raft->member_count; i++) {
        const struct raft_member *m = &n->raft->members[i].member;
        voters += m->voter;
        have += m->voter && disk_has(&w->nodes[m->id - 1].disk, index, term);
    }
    if (have < voters / 2 + 1)
        fail(w, "leader %llu commits entry %llu, which %zu of %zu voters have on disk",
             (unsigned long long)n->id, (unsigned long long)index, have, voters);
}

static void check_commit(struct world *w, const struct node *n, uint64_t from, uint64_t to)
{
    const struct raft_log *l = &n->raft->log;
    for (uint64_t i = from > l->base ? from : l->base + 1; i <= to; i++) {
        struct committed *c = world_committed(w, i);
        uint64_t term = log_term(l, i);
        if (c->term == 0) {
            c->term = term;
            c->by_term = n->raft->hard.term;
            if (n->raft->role == RAFT_LEADER)
                check_majority(w, n, i, term);
        } else if (c->term != term) {
            fail(w, "node %llu commits entry %llu of term %llu, committed as of term %llu",
                 (unsigned long long)n->id, (unsigned long long)i, (unsigned long long)term,
                 (unsigned long long)c->term);
        }
    }
    if (to > w->max_commit)
        w->max_commit = to;
}

void invariants_step(struct world *w, struct node *n)
{
    unsigned slot = slot_of(w, n);
    if (n->raft == NULL)
        return;
    raft_check(n->raft);
    uint64_t term = n->raft->hard.term, commit = n->raft->commit;
    bool leads = n->raft->role == RAFT_LEADER;
    if (leads && (w->seen_role[slot] != RAFT_LEADER || w->seen_term[slot] != term)) {
        w->counts.elections++;
        trace(w, "node %llu leads term %llu", (unsigned long long)n->id, (unsigned long long)term);
        check_leader(w, n, term);
        check_completeness(w, n, term);
    }
    if (term < w->seen_term[slot])
        fail(w, "node %llu goes back to term %llu", (unsigned long long)n->id,
             (unsigned long long)term);
    if (commit > w->seen_commit[slot])
        check_commit(w, n, w->seen_commit[slot] + 1, commit);
    w->seen_term[slot] = term;
    w->seen_role[slot] = n->raft->role;
    w->seen_commit[slot] = commit;
}

/* ---- log matching */

static uint64_t *pair_slot(uint64_t *pairs, size_t room, uint64_t key)
{
    size_t at = (size_t)(mix(0, key) & (room - 1));
    while (pairs[at * 2] != 0 && pairs[at * 2] != key)
        at = (at + 1) & (room - 1);
    return &pairs[at * 2];
}

static uint64_t *pair(struct world *w, uint64_t key)
{
    if (w->pair_count * 2 >= w->pair_room) {
        size_t room = w->pair_room == 0 ? 1024 : w->pair_room * 2;
        uint64_t *pairs = xcalloc(room * 2, sizeof *pairs);
        for (size_t i = 0; i < w->pair_room; i++) {
            if (w->pairs[i * 2] != 0)
                memcpy(pair_slot(pairs, room, w->pairs[i * 2]), &w->pairs[i * 2],
                       2 * sizeof *pairs);
        }
        free(w->pairs);
        w->pairs = pairs;
        w->pair_room = room;
    }
    return pair_slot(w->pairs, w->pair_room, key);
}

void invariants_written(struct world *w, const struct node *n, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->entry_count; i++) {
        const struct raft_entry *e = &ready->entries[i];
        const struct record *rec = disk_record(&n->disk, e->index - 1);
        uint64_t before = rec != NULL ? rec->term : n->disk.checkpoint.term;
        uint64_t key = e->index << 32 | e->term;
        uint64_t holds = mix_bytes(mix(before, (uint64_t)e->kind), e->data, e->len);
        uint64_t *p = pair(w, key);
        if (p[0] == 0)
            w->pair_count++;
        else if (p[1] != holds)
            fail(w, "entry %llu of term %llu differs on node %llu", (unsigned long long)e->index,
                 (unsigned long long)e->term, (unsigned long long)n->id);
        p[0] = key;
        p[1] = holds;
    }
}

/* ---- state machines */

void invariants_applied(struct world *w, const struct node *n, const struct raft_entry *e)
{
    struct committed *c = world_committed(w, e->index);
    if (c->applied && c->hash != n->state.hash)
        fail(w, "node %llu applied another entry %llu", (unsigned long long)n->id,
             (unsigned long long)e->index);
    c->applied = true;
    c->hash = n->state.hash;
}

void invariants_end(struct world *w)
{
    const struct node *l = world_leader(w);
    for (size_t i = 0; l != NULL && i < l->state.member_count; i++) {
        const struct node *n = &w->nodes[l->state.members[i].id - 1];
        if (n->state.index < w->max_acked)
            fail(w, "node %llu ends at entry %llu, %llu was acknowledged",
                 (unsigned long long)n->id, (unsigned long long)n->state.index,
                 (unsigned long long)w->max_acked);
        if (n->state.index != l->state.index || n->state.hash != l->state.hash)
            fail(w, "node %llu and leader %llu end with different states",
                 (unsigned long long)n->id, (unsigned long long)l->id);
    }
}
