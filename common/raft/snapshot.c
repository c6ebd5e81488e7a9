/* What is no longer in memory: entries that the owner reads from its disk, and the state itself for
 * a member that needs what nobody's log has any more [5]. */
#include "raft/core.h"
#include <stdlib.h>
#include <string.h>

/* ---- entries from the disk, one load per member at a time */

static void free_loaded(struct progress *p)
{
    for (size_t i = 0; i < p->loaded_count; i++)
        free((uint8_t *)(uintptr_t)p->loaded[i].data);
    free(p->loaded);
    p->loaded = NULL;
    p->loaded_count = 0;
}

void load_forget(struct progress *p)
{
    free_loaded(p);
    p->load_asked = false;
}

/* Nothing is loaded or streamed for a member that does not answer. */
static bool wants_load(const struct raft *r, const struct progress *p)
{
    return p->next - 1 < r->log.base && p->member.id != r->config.id && p->heard &&
           p->silent_ticks <= r->config.election_ticks && may_send(r, p);
}

bool load_ready(struct raft *r, struct progress *p)
{
    if (p->load_after != p->next - 1)
        load_forget(p); /* sent already, or of another place */
    return p->loaded_count > 0;
}

bool raft_next_load(struct raft *r, struct raft_load *out)
{
    for (size_t i = 0; r->role == RAFT_LEADER && i < r->member_count; i++) {
        struct progress *p = &r->members[i];
        if (!wants_load(r, p) || load_ready(r, p) || p->load_asked)
            continue;
        p->load_asked = true;
        p->load_after = p->next - 1;
        *out = (struct raft_load){.peer = p->member.id,
                                  .after = p->load_after,
                                  .max_entries = r->config.max_message_entries,
                                  .max_bytes = r->config.max_message_bytes};
        return true;
    }
    return false;
}

static struct progress *asked_for(struct raft *r, uint64_t peer)
{
    struct progress *p = member_of(r, peer);
    return r->role == RAFT_LEADER && p != NULL && p->load_asked && p->loaded_count == 0 ? p : NULL;
}

void raft_loaded(struct raft *r, uint64_t peer, uint64_t after, uint64_t after_term,
                 const struct raft_entry *entries, size_t count)
{
    struct progress *p = asked_for(r, peer);
    if (p == NULL || p->load_after != after)
        return;
    must(count > 0);
    p->load_term = after_term;
    p->loaded = xcalloc(count, sizeof *p->loaded);
    p->loaded_count = count;
    for (size_t i = 0; i < count; i++) {
        must(entries[i].index == after + 1 + i);
        p->loaded[i] = entries[i];
        p->loaded[i].data = NULL;
        if (entries[i].len == 0)
            continue;
        uint8_t *copy = xmalloc(entries[i].len);
        memcpy(copy, entries[i].data, entries[i].len);
        p->loaded[i].data = copy;
    }
}

void raft_load_failed(struct raft *r, uint64_t peer)
{
    struct progress *p = asked_for(r, peer);
    if (p == NULL)
        return;
    load_forget(p);
    if (!wants_load(r, p))
        return;
    p->flow = RAFT_SNAPSHOT_SENT;
    p->inflight_count = 0;
    p->snapshot_due = true;
}

/* ---- the state */

void raft_snapshot_done(struct raft *r, uint64_t peer, uint64_t index)
{
    struct progress *p = member_of(r, peer);
    if (r->role != RAFT_LEADER || p == NULL || p->flow != RAFT_SNAPSHOT_SENT)
        return;
    p->flow = RAFT_PROBE;
    p->probed = false;
    if (index > log_last(&r->log))
        index = log_last(&r->log);
    p->next = (index > p->match ? index : p->match) + 1;
}

/* Tried again from the next heartbeat on: it may be able to live from the log by then. */
void raft_snapshot_failed(struct raft *r, uint64_t peer)
{
    struct progress *p = member_of(r, peer);
    if (r->role != RAFT_LEADER || p == NULL || p->flow != RAFT_SNAPSHOT_SENT)
        return;
    p->flow = RAFT_PROBE;
    p->probed = true;
    p->next = p->match + 1;
}

bool raft_snapshot_wanted(const struct raft *r, uint64_t index)
{
    return index > r->given;
}

/* Drops the whole log; what was promised of it is in the state, or can never be committed. */
static void start_log_anew(struct raft *r, uint64_t index, uint64_t term)
{
    log_fini(&r->log);
    log_begin(&r->log, index, term);
    r->reset_log = !MUTANT(SNAPSHOT_KEEPS_LOG);
}

/* Our log agrees with the state: what lies behind stays, and so do promises made of it. */
static void go_on_from(struct raft *r, uint64_t index)
{
    if (r->log.stored < index) { /* the disk would have a gap */
        r->log.stored = index;
        r->reset_log = true;
    }
    log_set_applied(&r->log, index, r->member_count > 1 ? r->config.keep_bytes : 0);
}

static void replace_members(struct raft *r, uint64_t index, const struct raft_member *list,
                            size_t count)
{
    members_begin(r, index, list, count);
    for (uint64_t i = index + 1; i <= log_last(&r->log); i++)
        members_appended(r, log_at(&r->log, i));
}

bool raft_snapshot_installed(struct raft *r, uint64_t index, uint64_t term,
                             const struct raft_member *members, size_t count)
{
    must(!r->write_out && members_valid(members, count, NULL));
    bool agrees = log_knows_term(&r->log, index) && log_term(&r->log, index) == term;
    bool contradicts = !agrees && (r->role == RAFT_LEADER || index <= r->commit);
    if (!raft_snapshot_wanted(r, index) || contradicts)
        return false;
    if (term > r->hard.term)
        become_follower(r, term, 0);
    if (agrees)
        go_on_from(r, index);
    else
        start_log_anew(r, index, term);
    if (r->commit < index)
        r->commit = index;
    r->given = index;
    recount_bytes(r);
    replace_members(r, index, members, count);
    if (r->leader != 0 && r->leader != r->config.id)
        reply_append(r, r->leader, index, 0, false);
    return true;
}
