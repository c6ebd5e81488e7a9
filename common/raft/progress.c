/* The leader's side of the log: what each member has, and what is sent to it [3.5, 10.2].
 *
 * A member begins as PROBE: one append at a time, until one is accepted. Then REPLICATE: appends
 * follow one another without waiting, up to max_inflight. A heartbeat names the last entry that
 * was sent: whoever lacks it says so, and so no loss stays unnoticed whatever was acknowledged. */
#include "raft/core.h"
#include <stdlib.h>

static bool is_self(const struct raft *r, const struct progress *p)
{
    return p->member.id == r->config.id;
}

/* ---- life of a progress */

void progress_reset(const struct raft *r, struct progress *p)
{
    struct raft_member member = p->member;
    progress_fini(p);
    *p = (struct progress){
        .member = member, .next = log_last(&r->log) + 1, .flow = RAFT_PROBE, .heartbeat_due = true};
}

void progress_fini(struct progress *p)
{
    load_forget(p);
    free(p->inflight);
    p->inflight = NULL;
}

void progress_begin(struct raft *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        progress_reset(r, &r->members[i]);
}

void heartbeat_all(struct raft *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        r->members[i].heartbeat_due = true;
        r->members[i].probed = r->members[i].stepped_back = false;
    }
}

/* ---- what is out */

static void inflight_add(const struct raft *r, struct progress *p, uint64_t last)
{
    size_t room = r->config.max_inflight;
    if (p->inflight == NULL)
        p->inflight = xcalloc(room, sizeof *p->inflight);
    p->inflight[(p->inflight_begin + p->inflight_count++) % room] = last;
}

static void inflight_answered(const struct raft *r, struct progress *p)
{
    size_t room = r->config.max_inflight;
    while (p->inflight_count > 0 && p->inflight[p->inflight_begin] <= p->match) {
        p->inflight_begin = (p->inflight_begin + 1) % room;
        p->inflight_count--;
    }
}

static void set_flow(struct progress *p, enum raft_flow flow)
{
    p->flow = flow;
    p->probed = false;
    p->inflight_count = 0;
}

/* ---- commit */

static uint64_t match_of(const struct raft *r, const struct progress *p)
{
    if (!is_self(r, p))
        return p->match;
    return MUTANT(LEADER_COUNTS_UNSTORED) ? log_last(&r->log) : r->log.stored;
}

/* Only an entry of the leader's own term commits by counting [3.6.2, figure 3.7]; those before it
 * come along. */
void advance_commit(struct raft *r)
{
    if (r->role != RAFT_LEADER)
        return;
    uint64_t index = quorum_value(r, match_of);
    if (index <= r->commit ||
        (log_term(&r->log, index) != r->hard.term && !MUTANT(COMMIT_OLD_TERM)))
        return;
    for (uint64_t i = r->commit + 1; i <= index; i++)
        r->uncommitted -= log_at(&r->log, i)->len;
    raise_commit(r, index);
}

/* ---- answers */

/* The newest entry that may match: at most the hint, and not of a newer term than the follower's
 * there, since terms never fall along a log. */
static void step_back(struct raft *r, struct progress *p, const struct raft_message *m)
{
    uint64_t index = m->hint < m->index ? m->hint : m->index - 1;
    while (index > p->match && index > r->log.base && log_knows_term(&r->log, index) &&
           log_term(&r->log, index) > m->log_term)
        index--;
    if (index < p->match)
        index = p->match;
    set_flow(p, RAFT_PROBE);
    p->next = index + 1;
}

static void on_refusal(struct raft *r, struct progress *p, const struct raft_message *m)
{
    if (p->flow == RAFT_SNAPSHOT_SENT || m->index <= p->match || m->index >= p->next)
        return;
    if (p->flow == RAFT_PROBE && m->index != p->next - 1)
        return; /* of an earlier probe */
    /* On a network that changes the order each append of a window may be refused: one is answered
     * by sending all again, or windows and refusals would breed one another. */
    if (p->flow == RAFT_REPLICATE && p->stepped_back)
        return;
    p->stepped_back |= p->flow == RAFT_REPLICATE;
    step_back(r, p, m);
}

static void on_acceptance(struct raft *r, struct progress *p, const struct raft_message *m)
{
    if (m->index > log_last(&r->log))
        return;
    if (m->index > p->match)
        p->match = m->index;
    if (p->next <= p->match)
        p->next = p->match + 1;
    inflight_answered(r, p);
    if (p->flow == RAFT_SNAPSHOT_SENT && p->match >= r->log.base) {
        set_flow(p, RAFT_PROBE);
        p->next = p->match + 1;
    }
    if (p->flow == RAFT_PROBE && m->index + 1 >= p->next) {
        set_flow(p, RAFT_REPLICATE);
        p->next = p->match + 1;
    }
}

void on_append_reply(struct raft *r, const struct raft_message *m)
{
    struct progress *p = member_of(r, m->from);
    if (r->role != RAFT_LEADER || p == NULL)
        return;
    p->active = p->heard = true;
    p->silent_ticks = 0;
    if (m->context > p->round && m->context <= r->round)
        p->round = m->context;
    if (m->refused)
        on_refusal(r, p, m);
    else
        on_acceptance(r, p, m);
    uint64_t matched = p->match;
    if (r->transferee == m->from && matched == log_last(&r->log))
        send_now(r, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = m->from});
    reads_confirm(r);
    if (!m->refused)
        advance_commit(r);
}

/* ---- sending: messages point into the log and live until the next call of the owner */

static void send_append(struct raft *r, struct progress *p, uint64_t log_term_,
                        const struct raft_entry *entries, size_t count)
{
    struct raft_message m = {.type = RAFT_APPEND,
                             .from = r->config.id,
                             .to = p->member.id,
                             .term = r->hard.term,
                             .index = p->next - 1,
                             .log_term = log_term_,
                             .commit = r->commit,
                             .context = r->round,
                             .entries = entries,
                             .entry_count = count};
    messages_add(&r->sending, &m);
    p->heartbeat_due = false;
    p->commit_sent = r->commit;
    if (p->flow == RAFT_PROBE) {
        p->probed = true;
    } else if (count > 0) {
        p->next += count;
        p->sent = entries[count - 1].index;
        p->sent_term = entries[count - 1].term;
        inflight_add(r, p, p->next - 1);
    }
}

/* Sends the next append, if what it needs is there. A probe carries no entries: whether there is
 * anyone to take them is not known. True: there may be more to send. */
static bool send_next(struct raft *r, struct progress *p)
{
    bool probe = p->flow == RAFT_PROBE;
    if (p->next - 1 < r->log.base) {
        if (load_ready(r, p))
            send_append(r, p, p->load_term, p->loaded, probe ? 0 : p->loaded_count);
        return false;
    }
    load_forget(p);
    size_t count = probe ? 0
                         : log_slice(&r->log, p->next, r->config.max_message_entries,
                                     r->config.max_message_bytes);
    if (count == 0 && !probe)
        return false;
    send_append(r, p, log_term(&r->log, p->next - 1), count == 0 ? NULL : log_at(&r->log, p->next),
                count);
    return !probe;
}

/* Names what was sent last, if anything was; else nothing, which always matches. */
static void send_heartbeat(struct raft *r, struct progress *p)
{
    bool in_memory = p->next - 1 >= r->log.base;
    bool known = (in_memory || p->next - 1 == p->sent) && p->flow != RAFT_SNAPSHOT_SENT;
    struct raft_message m = {.type = RAFT_APPEND,
                             .from = r->config.id,
                             .to = p->member.id,
                             .term = r->hard.term,
                             .commit = r->commit,
                             .context = r->round};
    if (known && !MUTANT(LOSS_UNNOTICED)) {
        m.index = p->next - 1;
        m.log_term = in_memory ? log_term(&r->log, m.index) : p->sent_term;
    } else if (known && p->match >= r->log.base) {
        m.index = p->match;
        m.log_term = log_term(&r->log, m.index);
    }
    messages_add(&r->sending, &m);
    p->heartbeat_due = false;
    p->commit_sent = r->commit;
}

static void offer_snapshot(struct raft *r, struct progress *p)
{
    if (!p->snapshot_due)
        return;
    p->snapshot_due = false;
    struct raft_message m = {.type = RAFT_SNAPSHOT,
                             .from = r->config.id,
                             .to = p->member.id,
                             .term = r->hard.term,
                             .index = r->log.applied,
                             .log_term = log_term(&r->log, r->log.applied),
                             .context = r->round};
    messages_add(&r->sending, &m);
}

bool may_send(const struct raft *r, const struct progress *p)
{
    if (p->flow == RAFT_PROBE)
        return !p->probed;
    return p->flow == RAFT_REPLICATE && p->inflight_count < r->config.max_inflight;
}

static struct progress *best_successor(const struct raft *r)
{
    struct progress *best = NULL;
    for (size_t i = 0; i < r->member_count; i++) {
        struct progress *p = &r->members[i];
        if (!is_self(r, p) && p->member.voter && (best == NULL || p->match > best->match))
            best = p;
    }
    return best;
}

/* A leader that is no voter any more leads until that is committed [4.2.2], and tells the others so
 * with its last messages. */
static void step_down_if_removed(struct raft *r)
{
    uint64_t index = r->configs[r->config_count - 1].index;
    if (is_voter(r) || index > r->commit)
        return;
    const struct progress *next = best_successor(r);
    if (next != NULL && next->match >= index)
        send_now(r, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = next->member.id});
    become_follower(r, r->hard.term, 0);
}

void send_appends(struct raft *r)
{
    if (r->role != RAFT_LEADER)
        return;
    for (size_t i = 0; i < r->member_count; i++) {
        struct progress *p = &r->members[i];
        if (is_self(r, p))
            continue;
        while (may_send(r, p) && send_next(r, p))
            ;
        if (p->flow == RAFT_SNAPSHOT_SENT)
            offer_snapshot(r, p);
        bool news = p->flow == RAFT_REPLICATE && p->commit_sent < r->commit;
        if (p->heartbeat_due || news)
            send_heartbeat(r, p);
    }
    step_down_if_removed(r);
}
