/* The follower's side of the log [3.5]. */
#include "raft/core.h"

/* Which entries a message may hold: behind its index, of terms that grow up to its own. A sender
 * that errs must not break us. */
static bool entries_fit(const struct raft_message *m)
{
    uint64_t term = m->log_term;
    if (m->entry_count > 0 && m->index > UINT64_MAX / 2)
        return false;
    for (size_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->index != m->index + 1 + i || e->term < term || e->term > m->term || e->term == 0 ||
            e->kind < RAFT_NOOP || e->kind > RAFT_MEMBERS)
            return false;
        term = e->term;
    }
    return m->log_term <= m->term;
}

/* The newest entry of ours that may be in the leader's log, so that it need not go back one by one
 * [3.5, the optimization at the end]. What is committed is certain. */
static void refuse(struct raft *r, const struct raft_message *m)
{
    uint64_t hint = m->index < log_last(&r->log) ? m->index : log_last(&r->log);
    while (hint > r->commit && log_term(&r->log, hint) > m->log_term)
        hint--;
    send_later(r, (struct raft_message){.type = RAFT_APPEND_REPLY,
                                        .to = m->from,
                                        .index = m->index,
                                        .hint = hint,
                                        .log_term = log_term(&r->log, hint),
                                        .context = m->context,
                                        .refused = true});
}

/* An answer to a heartbeat tells what is stored by now and need not wait for the disk: a slow one
 * does not make us look dead. */
void reply_append(struct raft *r, uint64_t to, uint64_t matched, uint64_t context, bool heartbeat)
{
    struct raft_message m = {
        .type = RAFT_APPEND_REPLY, .to = to, .index = matched, .context = context};
    if (heartbeat && matched > r->log.stored)
        m.index = r->log.stored;
    if ((m.index <= r->log.stored && hard_is_stored(r)) || MUTANT(ACK_BEFORE_STORED))
        send_now(r, m);
    else
        send_later(r, m);
}

/* The owner applies too slowly: what comes now is as good as lost, and will be sent again. What is
 * not committed does not count (the leader bounds it): it may have to grow to be committed. */
static bool too_much_unapplied(const struct raft *r)
{
    return r->unapplied > r->config.max_unapplied;
}

static void take_entries(struct raft *r, const struct raft_message *m, size_t skip)
{
    for (size_t i = skip; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        if (e->index <= log_last(&r->log)) {
            if (log_term(&r->log, e->index) == e->term &&
                !(MUTANT(BLIND_TRUNCATION) && i == skip && e->index > r->commit))
                continue;
            cut_log(r, e->index);
        }
        log_append(&r->log, e->term, e->kind, e->data, e->len);
        members_appended(r, log_at(&r->log, e->index));
    }
}

void on_append(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER || !entries_fit(m))
        return; /* two leaders of one term, or worse: not from this core */
    become_follower(r, m->term, m->from);
    size_t count = too_much_unapplied(r) ? 0 : m->entry_count, skip = 0;
    uint64_t matched = m->index + count;
    if (m->index < r->commit) {
        /* What is committed is in the log of every leader to come [3.6.3]. */
        skip = r->commit - m->index < count ? (size_t)(r->commit - m->index) : count;
        matched = matched > r->commit ? matched : r->commit;
    } else if (m->index > log_last(&r->log) ||
               (log_term(&r->log, m->index) != m->log_term && !MUTANT(APPEND_WITHOUT_CHECK))) {
        refuse(r, m);
        return;
    }
    struct raft_message taken = *m;
    taken.entry_count = count;
    take_entries(r, &taken, skip);
    uint64_t certain = MUTANT(COMMIT_BEYOND_MATCH) ? log_last(&r->log) : matched;
    raise_commit(r, m->commit < certain ? m->commit : certain);
    reply_append(r, m->from, matched, m->context, m->entry_count == 0);
}
