#include "raft/core.h"
#include <stdlib.h>

#define DEFAULT_ELECTION_TICKS  10
#define DEFAULT_HEARTBEAT_TICKS 1
#define DEFAULT_MAX_UNCOMMITTED (64u << 20)
#define DEFAULT_MAX_UNAPPLIED   (256u << 20)
#define DEFAULT_MAX_READS       65536
#define DEFAULT_MAX_INFLIGHT    64
#define DEFAULT_MESSAGE_ENTRIES 1024
#define DEFAULT_MESSAGE_BYTES   (1u << 20)
#define DEFAULT_KEEP_BYTES      (16u << 20)
#define MAX_WAITING             4096 /* messages; beyond it they are lost, as on any network */

/* ---- life */

static enum err log_check(const struct raft_config *c, struct reason *why)
{
    uint64_t term = 0;
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct raft_entry *e = &c->entries[i];
        bool first_fits = e->index <= c->snapshot_index + 1 && e->index > 0;
        bool fits = i == 0 ? first_fits : e->index == c->entries[i - 1].index + 1;
        if (e->index == c->snapshot_index + 1 && i == 0)
            term = c->snapshot_term;
        if (!fits || e->term < term)
            return reason_set(
                why, ERR_INVALID, "the log has no entry %llu where it should",
                (unsigned long long)(i == 0 ? c->snapshot_index + 1 : c->entries[i - 1].index + 1));
        term = e->term;
    }
    if (term > c->hard.term && term > c->snapshot_term)
        return reason_set(why, ERR_INVALID, "the log is of term %llu, its owner of term %llu",
                          (unsigned long long)term, (unsigned long long)c->hard.term);
    return OK;
}

static enum err config_check(const struct raft_config *c, struct reason *why)
{
    if (c->id == 0)
        return reason_set(why, ERR_INVALID, "the own id is 0");
    if (!members_valid(c->members, c->member_count, why))
        return ERR_INVALID;
    return log_check(c, why);
}

static void set_default(size_t *value, size_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void set_defaults(struct raft_config *c)
{
    if (c->election_ticks == 0)
        c->election_ticks = DEFAULT_ELECTION_TICKS;
    if (c->heartbeat_ticks == 0)
        c->heartbeat_ticks = DEFAULT_HEARTBEAT_TICKS;
    set_default(&c->max_uncommitted, DEFAULT_MAX_UNCOMMITTED);
    set_default(&c->max_unapplied, DEFAULT_MAX_UNAPPLIED);
    set_default(&c->max_reads, DEFAULT_MAX_READS);
    set_default(&c->max_inflight, DEFAULT_MAX_INFLIGHT);
    set_default(&c->max_message_entries, DEFAULT_MESSAGE_ENTRIES);
    set_default(&c->max_message_bytes, DEFAULT_MESSAGE_BYTES);
    set_default(&c->keep_bytes, DEFAULT_KEEP_BYTES);
}

/* An entry at snapshot_index of another term, or none so far: the log is of before a snapshot was
 * installed. */
static bool log_is_stale(const struct raft_config *c)
{
    for (size_t i = 0; i < c->entry_count; i++)
        if (c->entries[i].index == c->snapshot_index)
            return c->entries[i].term != c->snapshot_term;
    return c->entry_count > 0 && c->entries[0].index < c->snapshot_index;
}

static void take_log(struct raft *r, const struct raft_config *c)
{
    r->reset_log = log_is_stale(c);
    if (r->reset_log)
        return;
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct raft_entry *e = &c->entries[i];
        if (e->index <= c->snapshot_index)
            continue;
        log_append(&r->log, e->term, e->kind, e->data, e->len);
        members_appended(r, log_at(&r->log, e->index));
    }
    r->log.stored = log_last(&r->log);
}

enum err raft_new(struct raft **out, const struct raft_config *c, struct reason *why)
{
    enum err e = config_check(c, why);
    if (e != OK)
        return e;
    struct raft *r = xcalloc(1, sizeof *r);
    r->config = *c;
    set_defaults(&r->config);
    r->config.members = NULL; /* the caller's: not kept */
    r->config.entries = NULL;
    prng_seed(&r->chance, c->seed ^ c->id);
    r->hard = c->hard;
    if (c->snapshot_term > r->hard.term) { /* a crash came between a snapshot and its term */
        r->hard = (struct raft_hard_state){.term = c->snapshot_term};
        r->hard_dirty = true;
    }
    r->commit = r->given = c->snapshot_index;
    log_begin(&r->log, c->snapshot_index, c->snapshot_term);
    members_begin(r, c->snapshot_index, c->members, c->member_count);
    take_log(r, c);
    become_follower(r, r->hard.term, 0);
    reset_timeout(r);
    *out = r;
    return OK;
}

void raft_free(struct raft *r)
{
    if (r == NULL)
        return;
    log_fini(&r->log);
    for (size_t i = 0; i < r->member_count; i++)
        progress_fini(&r->members[i]);
    free(r->members);
    free(r->configs);
    free(r->reads);
    free(r->now.list);
    free(r->later.list);
    free(r->sending.list);
    free(r->held.list);
    free(r->write_entries);
    free(r);
}

/* ---- time */

static uint64_t active_of(const struct raft *r, const struct progress *p)
{
    return p->active || p->member.id == r->config.id;
}

static void leader_tick(struct raft *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        r->members[i].silent_ticks++;
    if (++r->heartbeat_elapsed >= r->config.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        heartbeat_all(r);
        reads_force_round(r);
    }
    if (r->transferee != 0 && ++r->transfer_elapsed >= r->config.election_ticks)
        r->transferee = 0;
    if (r->elapsed < r->config.election_ticks)
        return;
    r->elapsed = 0;
    bool heard = quorum_value(r, active_of) != 0;
    for (size_t i = 0; i < r->member_count; i++)
        r->members[i].active = false;
    if (!heard)
        become_follower(r, r->hard.term, 0);
}

void raft_tick(struct raft *r)
{
    r->elapsed++;
    if (r->role == RAFT_LEADER) {
        leader_tick(r);
    } else if (r->elapsed >= r->timeout) {
        r->leader = 0;
        raft_campaign(r);
    }
}

/* ---- messages */

void messages_add(struct messages *list, const struct raft_message *m)
{
    if (list->count == list->room) {
        list->room = list->room * 2 + 16;
        list->list = xrealloc(list->list, list->room * sizeof *list->list);
    }
    list->list[list->count++] = *m;
}

/* A later answer to the same leader says all that an earlier one does. */
static bool merge_ack(struct messages *list, const struct raft_message *m)
{
    if (m->type != RAFT_APPEND_REPLY || m->refused)
        return false;
    for (size_t i = list->count; i-- > 0;) {
        struct raft_message *old = &list->list[i];
        if (old->type != m->type || old->to != m->to || old->refused || old->term != m->term)
            continue;
        if (m->index > old->index)
            old->index = m->index;
        if (m->context > old->context)
            old->context = m->context;
        return true;
    }
    return false;
}

static void queue(struct raft *r, struct messages *list, struct raft_message m)
{
    m.from = r->config.id;
    if (m.term == 0)
        m.term = r->hard.term;
    if (list->count < MAX_WAITING && !merge_ack(list, &m))
        messages_add(list, &m);
}

void send_now(struct raft *r, struct raft_message m)
{
    queue(r, &r->now, m);
}

void send_later(struct raft *r, struct raft_message m)
{
    queue(r, &r->later, m);
}

/* Of an older term: the sender learns of ours, or it would never find a majority again; with
 * pre-vote we do not disturb it otherwise. True: the message is dealt with. */
static bool answer_old_term(struct raft *r, const struct raft_message *m)
{
    if (MUTANT(TERM_UNCHECKED))
        return false;
    if (m->type == RAFT_APPEND || m->type == RAFT_SNAPSHOT)
        send_later(
            r, (struct raft_message){.type = RAFT_APPEND_REPLY, .to = m->from, .refused = true});
    else if (m->type == RAFT_PRE_VOTE)
        send_now(
            r, (struct raft_message){.type = RAFT_PRE_VOTE_REPLY, .to = m->from, .refused = true});
    else if (m->type == RAFT_APPEND_REPLY && MUTANT(OLD_REPLY_COUNTS))
        return false;
    return true;
}

/* True: the message is dealt with. */
static bool meet_new_term(struct raft *r, const struct raft_message *m)
{
    bool from_leader = m->type == RAFT_APPEND || m->type == RAFT_SNAPSHOT;
    if (m->type == RAFT_PRE_VOTE || (m->type == RAFT_PRE_VOTE_REPLY && !m->refused))
        return false; /* of a term that nobody has begun */
    if (m->type == RAFT_VOTE && !m->transfer && leader_is_fresh(r))
        return true; /* [4.2.3] */
    become_follower(r, m->term, from_leader ? m->from : 0);
    return false;
}

static void on_snapshot_offer(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_LEADER)
        become_follower(r, m->term, m->from);
}

void raft_step(struct raft *r, const struct raft_message *m)
{
    if (m->from == 0 || m->from == r->config.id || m->to != r->config.id || m->term > MAX_TERM)
        return;
    if (m->term < r->hard.term ? answer_old_term(r, m)
                               : m->term > r->hard.term && meet_new_term(r, m))
        return;
    switch (m->type) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
        on_vote_request(r, m);
        break;
    case RAFT_PRE_VOTE_REPLY:
    case RAFT_VOTE_REPLY:
        on_vote_reply(r, m);
        break;
    case RAFT_APPEND:
        on_append(r, m);
        break;
    case RAFT_APPEND_REPLY:
        on_append_reply(r, m);
        break;
    case RAFT_SNAPSHOT:
        on_snapshot_offer(r, m);
        break;
    case RAFT_TIMEOUT_NOW:
        on_timeout_now(r, m);
        break;
    }
}

/* ---- questions */

void raft_status(const struct raft *r, struct raft_status *out)
{
    uint64_t members_index = r->configs[r->config_count - 1].index;
    *out = (struct raft_status){.id = r->config.id,
                                .leader = r->leader,
                                .role = r->role,
                                .term = r->hard.term,
                                .commit = r->commit,
                                .given = r->given,
                                .stored = r->log.stored,
                                .first = r->log.base + 1,
                                .last = log_last(&r->log),
                                .applied = r->log.applied,
                                .transferee = r->transferee,
                                .members_index = members_index,
                                .members_committed = members_index <= r->commit,
                                .voter = is_voter(r),
                                .log_reset_due = r->reset_log || (r->write_out && r->write_reset),
                                .uncommitted = r->uncommitted};
}

size_t raft_peers(const struct raft *r, struct raft_peer out[RAFT_MAX_MEMBERS])
{
    for (size_t i = 0; i < r->member_count; i++) {
        const struct progress *p = &r->members[i];
        out[i] = (struct raft_peer){.id = p->member.id, .voter = p->member.voter};
        if (r->role != RAFT_LEADER)
            continue;
        bool self = p->member.id == r->config.id;
        out[i].flow = self ? RAFT_REPLICATE : p->flow;
        out[i].match = self ? r->log.stored : p->match;
        out[i].next = self ? log_last(&r->log) + 1 : p->next;
        out[i].silent_ticks = self ? 0 : p->silent_ticks;
        out[i].heard = self || p->heard;
    }
    return r->member_count;
}

static void leader_check(const struct raft *r)
{
    uint64_t uncommitted = 0;
    for (uint64_t i = r->commit + 1; i <= log_last(&r->log); i++)
        uncommitted += log_at(&r->log, i)->len;
    must(uncommitted == r->uncommitted && r->leader == r->config.id);
    for (size_t i = 0; i < r->member_count; i++) {
        const struct progress *p = &r->members[i];
        if (p->member.id == r->config.id)
            continue;
        must(p->match <= log_last(&r->log) && p->match < p->next);
        must(p->next <= log_last(&r->log) + 1 && p->round <= r->round);
        must(p->inflight_count <= r->config.max_inflight);
    }
    must(r->round_confirmed <= r->round && r->read_count <= r->config.max_reads);
}

void raft_check(const struct raft *r)
{
    uint64_t term = r->log.base_term, stored = r->log.stored;
    must(r->log.base <= r->log.applied && r->log.applied <= r->given);
    must(r->given <= r->commit && r->commit <= log_last(&r->log));
    must(stored <= log_last(&r->log) && (r->given <= stored || MUTANT(APPLY_UNSTORED)));
    for (uint64_t i = r->log.base + 1; i <= log_last(&r->log); i++) {
        const struct raft_entry *e = log_at(&r->log, i);
        must(e->index == i && e->term >= term && e->term <= r->hard.term);
        term = e->term;
    }
    size_t unapplied = 0;
    for (uint64_t i = r->log.applied + 1; i <= r->commit; i++)
        unapplied += entry_cost(log_at(&r->log, i));
    must(unapplied == r->unapplied);
    must(r->now.count <= MAX_WAITING && r->later.count <= MAX_WAITING);
    members_check(r);
    if (r->role == RAFT_LEADER)
        leader_check(r);
}
