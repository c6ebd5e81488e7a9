/* Roles and votes [3.4], with pre-vote [9.6], a leader that hears no majority steps down [6.2], and
 * who hears a leader helps nobody to replace it [4.2.3]. */
#include "raft/core.h"

void reset_timeout(struct raft *r)
{
    r->elapsed = 0;
    r->timeout =
        r->config.election_ticks + (unsigned)prng_below(&r->chance, r->config.election_ticks);
}

void become_follower(struct raft *r, uint64_t term, uint64_t leader)
{
    if (term > r->hard.term) {
        r->hard = (struct raft_hard_state){.term = term};
        r->hard_dirty = true;
    }
    /* A message of a newer term alone is no reason to wait longer for a leader. */
    if (leader != 0 || r->role != RAFT_FOLLOWER)
        reset_timeout(r);
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    r->transferee = 0;
    reads_clear(r);
}

static void become_leader(struct raft *r)
{
    r->role = RAFT_LEADER;
    r->leader = r->config.id;
    r->elapsed = r->heartbeat_elapsed = 0;
    r->transferee = 0;
    progress_begin(r);
    log_append(&r->log, r->hard.term, RAFT_NOOP, NULL, 0);
    recount_bytes(r);
    advance_commit(r);
}

/* ---- campaigns */

static void ask_voters(struct raft *r, enum raft_message_type type, uint64_t term, bool transfer)
{
    struct raft_message m = {.type = type,
                             .term = term,
                             .index = log_last(&r->log),
                             .log_term = log_last_term(&r->log),
                             .transfer = transfer};
    for (size_t i = 0; i < r->member_count; i++) {
        m.to = r->members[i].member.id;
        if (!r->members[i].member.voter || m.to == r->config.id)
            continue;
        if (type == RAFT_PRE_VOTE || MUTANT(VOTE_BEFORE_STORED))
            send_now(r, m);
        else
            send_later(r, m);
    }
}

static void forget_votes(struct raft *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        r->members[i].granted = false;
}

static void grant(struct raft *r, uint64_t id)
{
    struct progress *p = member_of(r, id);
    if (p != NULL)
        p->granted = true;
}

/* The own vote is a promise like any other: it counts when it is stored, in raft_stored. */
void campaign(struct raft *r, bool transfer)
{
    r->hard = (struct raft_hard_state){.term = r->hard.term + 1, .vote = r->config.id};
    r->hard_dirty = true;
    r->role = RAFT_CANDIDATE;
    r->leader = 0;
    forget_votes(r);
    reset_timeout(r);
    ask_voters(r, RAFT_VOTE, r->hard.term, transfer);
    if (MUTANT(OWN_VOTE_UNSTORED)) {
        grant(r, r->config.id);
        count_votes(r);
    }
}

void count_votes(struct raft *r)
{
    size_t granted = 0;
    for (size_t i = 0; i < r->member_count; i++)
        granted += r->members[i].member.voter && r->members[i].granted;
    if (granted < quorum(r))
        return;
    if (r->role == RAFT_PRE_CANDIDATE)
        campaign(r, false);
    else if (r->role == RAFT_CANDIDATE)
        become_leader(r);
}

void raft_campaign(struct raft *r)
{
    if (r->role == RAFT_LEADER || !may_campaign(r))
        return;
    r->role = RAFT_PRE_CANDIDATE;
    r->leader = 0;
    reads_clear(r);
    forget_votes(r);
    reset_timeout(r);
    grant(r, r->config.id);
    ask_voters(r, RAFT_PRE_VOTE, r->hard.term + 1, false);
    count_votes(r);
}

/* ---- votes */

bool leader_is_fresh(const struct raft *r)
{
    return r->role == RAFT_LEADER || (r->leader != 0 && r->elapsed < r->config.election_ticks);
}

/* Its log is at least as new as ours [3.6.1]. */
static bool log_suffices(const struct raft *r, const struct raft_message *m)
{
    uint64_t term = log_last_term(&r->log);
    return m->log_term > term || (m->log_term == term && m->index >= log_last(&r->log)) ||
           MUTANT(VOTE_WITHOUT_LOG_CHECK);
}

static void answer_pre_vote(struct raft *r, const struct raft_message *m)
{
    bool granted = m->term > r->hard.term && !leader_is_fresh(r) && log_suffices(r, m);
    send_now(r, (struct raft_message){.type = RAFT_PRE_VOTE_REPLY,
                                      .to = m->from,
                                      .term = granted ? m->term : r->hard.term,
                                      .refused = !granted});
}

/* Who is asked need not know the candidate as a member: it may lag behind the change [4.1]. */
void on_vote_request(struct raft *r, const struct raft_message *m)
{
    if (m->type == RAFT_PRE_VOTE) {
        answer_pre_vote(r, m);
        return;
    }
    bool free = r->hard.vote == 0 || r->hard.vote == m->from || MUTANT(VOTE_TWICE);
    bool idle = r->role == RAFT_FOLLOWER || r->role == RAFT_PRE_CANDIDATE;
    bool granted = idle && free && log_suffices(r, m);
    if (granted) {
        r->role = RAFT_FOLLOWER;
        r->hard_dirty |= r->hard.vote != m->from;
        r->hard.vote = m->from;
        reset_timeout(r);
    }
    struct raft_message reply = {.type = RAFT_VOTE_REPLY, .to = m->from, .refused = !granted};
    if (MUTANT(VOTE_BEFORE_STORED))
        send_now(r, reply);
    else
        send_later(r, reply);
}

void on_vote_reply(struct raft *r, const struct raft_message *m)
{
    bool asked = m->type == RAFT_PRE_VOTE_REPLY
                     ? r->role == RAFT_PRE_CANDIDATE && m->term == r->hard.term + 1
                     : r->role == RAFT_CANDIDATE && m->term == r->hard.term;
    if (m->refused || !asked)
        return;
    grant(r, m->from);
    count_votes(r);
}

/* ---- handing over [3.10] */

void on_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_FOLLOWER && m->from == r->leader && may_campaign(r))
        campaign(r, true);
}

enum err raft_transfer(struct raft *r, uint64_t id, struct reason *why)
{
    if (r->role != RAFT_LEADER)
        return reason_set(why, ERR_NOT_LEADER, "only the leader hands leadership over");
    const struct progress *p = member_of(r, id);
    if (p == NULL)
        return reason_set(why, ERR_NOT_FOUND, "there is no such member");
    if (!p->member.voter)
        return reason_set(why, ERR_INVALID, "it is a learner, which cannot lead");
    if (id == r->config.id)
        return OK;
    if (r->transferee != 0 && r->transferee != id)
        return reason_set(why, ERR_BUSY, "leadership is being handed to another");
    if (r->transferee == 0)
        r->transfer_elapsed = 0;
    r->transferee = id;
    if (p->match == log_last(&r->log))
        send_now(r, (struct raft_message){.type = RAFT_TIMEOUT_NOW, .to = id});
    return OK;
}
