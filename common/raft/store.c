/* The own log: proposals, writes to the disk and what becomes of them, entries to apply. */
#include "raft/core.h"
#include <stdlib.h>
#include <string.h>

/* ---- the log */

void recount_bytes(struct raft *r)
{
    r->uncommitted = 0;
    for (uint64_t i = r->commit + 1; i <= log_last(&r->log); i++)
        r->uncommitted += log_at(&r->log, i)->len;
    r->unapplied = 0;
    for (uint64_t i = r->log.applied + 1; i <= r->commit; i++)
        r->unapplied += entry_cost(log_at(&r->log, i));
}

void cut_log(struct raft *r, uint64_t index)
{
    log_truncate(&r->log, index, r->write_out);
    members_cut(r, index);
}

void raise_commit(struct raft *r, uint64_t index)
{
    if (index <= r->commit)
        return;
    for (uint64_t i = r->commit + 1; i <= index; i++)
        r->unapplied += entry_cost(log_at(&r->log, i));
    r->commit = index;
    members_settle(r);
}

enum err raft_propose(struct raft *r, const void *data, size_t len, uint64_t *index)
{
    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (r->transferee != 0 ||
        (r->uncommitted > 0 && r->uncommitted + len > r->config.max_uncommitted))
        return ERR_BUSY;
    log_append(&r->log, r->hard.term, RAFT_COMMAND, data, len);
    r->uncommitted += len;
    *index = log_last(&r->log);
    if (MUTANT(LEADER_COUNTS_UNSTORED))
        advance_commit(r);
    return OK;
}

/* ---- storing */

bool hard_is_stored(const struct raft *r)
{
    return !r->hard_dirty && !(r->write_out && r->write_hard);
}

static void begin_write(struct raft *r, struct raft_ready *out)
{
    uint64_t stored = r->log.stored, last = log_last(&r->log);
    size_t n = (size_t)(last - stored);
    if (n > 0) {
        r->write_entries = xcalloc(n, sizeof *r->write_entries);
        memcpy(r->write_entries, log_at(&r->log, stored + 1), n * sizeof *r->write_entries);
    }
    r->write_out = true;
    r->write_hard = r->hard_dirty;
    r->write_reset = r->reset_log;
    r->write_has_vote = r->hard_dirty && r->hard.vote == r->config.id;
    r->write_last = last;
    r->write_last_term = log_last_term(&r->log);
    r->hard_dirty = r->reset_log = false;
    struct messages promises = r->later;
    r->later = r->held;
    r->held = promises;
    *out = (struct raft_ready){.must_store = true,
                               .hard_changed = r->write_hard,
                               .reset_log = r->write_reset,
                               .hard = r->hard,
                               .entries = r->write_entries,
                               .entry_count = n,
                               .held = r->held.list,
                               .held_count = r->held.count};
}

static void send_all(struct raft *r, struct messages *list)
{
    for (size_t i = 0; i < list->count; i++)
        messages_add(&r->sending, &list->list[i]);
    list->count = 0;
}

bool raft_ready(struct raft *r, struct raft_ready *out)
{
    bool must_store = r->hard_dirty || r->reset_log || log_last(&r->log) > r->log.stored;
    r->sending.count = 0;
    if (r->role == RAFT_LEADER) {
        reads_begin_round(r);
        send_appends(r);
    }
    send_all(r, &r->now);
    if (!r->write_out && !must_store)
        send_all(r, &r->later);
    if (r->sending.count == 0 && (r->write_out || !must_store))
        return false;
    if (r->write_out || !must_store)
        *out = (struct raft_ready){.must_store = false};
    else
        begin_write(r, out);
    out->messages = r->sending.list;
    out->message_count = r->sending.count;
    return true;
}

static void end_write(struct raft *r)
{
    must(r->write_out);
    r->write_out = false;
    r->held.count = 0;
    free(r->write_entries);
    r->write_entries = NULL;
    log_bury(&r->log);
}

void raft_stored(struct raft *r)
{
    end_write(r);
    /* What was cut off and written anew meanwhile has another term, and its own write to come. */
    if (log_term(&r->log, r->write_last) == r->write_last_term && r->write_last > r->log.stored)
        r->log.stored = r->write_last;
    members_settle(r);
    bool vote_stands = r->write_has_vote && r->hard.vote == r->config.id && !r->hard_dirty;
    struct progress *own = member_of(r, r->config.id);
    if (r->role == RAFT_CANDIDATE && own != NULL && vote_stands) {
        own->granted = true;
        count_votes(r);
    }
    advance_commit(r);
}

void raft_store_failed(struct raft *r)
{
    r->hard_dirty |= r->write_hard;
    r->reset_log |= r->write_reset;
    end_write(r);
    r->later.count = 0; /* they promise what is lost */
    if (r->commit > r->log.stored)
        r->commit = r->log.stored;
    /* A member by an entry that is cut off now may have seen the others: their indices are used. */
    bool settled = r->config_count == 1 || MUTANT(LONE_LEADER_GOES_ON);
    if (log_last(&r->log) > r->log.stored)
        cut_log(r, r->log.stored + 1);
    recount_bytes(r);
    if (r->role != RAFT_LEADER)
        return;
    if (!settled || r->member_count > 1 || !is_voter(r)) {
        become_follower(r, r->hard.term, 0);
        return;
    }
    /* The entry that lets older ones commit, and reads begin, was lost with the rest. */
    if (log_last_term(&r->log) != r->hard.term)
        log_append(&r->log, r->hard.term, RAFT_NOOP, NULL, 0);
    advance_commit(r);
}

/* ---- applying */

bool raft_next_committed(struct raft *r, struct raft_entry *out)
{
    bool all = r->commit < r->log.stored || MUTANT(APPLY_UNSTORED);
    uint64_t limit = all ? r->commit : r->log.stored;
    if (r->given >= limit)
        return false;
    *out = *log_at(&r->log, ++r->given);
    return true;
}

void raft_applied(struct raft *r, uint64_t index)
{
    must(index <= r->given);
    r->unapplied -= log_set_applied(&r->log, index, r->member_count > 1 ? r->config.keep_bytes : 0);
}
