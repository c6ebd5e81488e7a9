#include "raft/raft.h"
#include "base/prng.h"
#include "raft/log.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ELECTION_TICKS  10
#define DEFAULT_HEARTBEAT_TICKS 1
#define DEFAULT_MAX_UNCOMMITTED (64u << 20)

/* What is known of each member, oneself included [3.5]. */
struct progress {
    struct raft_member member;
    uint64_t match;        /* known to be in its log, stored */
    uint64_t next;         /* the next to send */
    bool granted, refused; /* votes of this campaign */
};

struct read {
    uint64_t context, index;
};

struct raft {
    struct raft_config config;
    struct prng chance;
    struct raft_log log;
    struct raft_hard_state hard;
    bool hard_dirty;
    enum raft_role role;
    uint64_t leader;
    uint64_t commit;
    uint64_t given; /* handed out to be applied */
    struct progress *members;
    size_t member_count;
    unsigned elapsed, timeout;
    size_t uncommitted; /* bytes */
    struct read *reads;
    size_t read_count, read_taken;
    /* the write that is out */
    bool write_out, write_has_vote;
    uint64_t write_last, write_last_term;
    struct raft_entry *write_entries;
    bool write_hard;
};

/* ---- members */

static struct progress *member_of(struct raft *r, uint64_t id)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i].member.id == id)
            return &r->members[i];
    return NULL;
}

static bool is_voter(struct raft *r)
{
    struct progress *p = member_of(r, r->config.id);
    return p != NULL && p->member.voter;
}

static size_t quorum(const struct raft *r)
{
    size_t voters = 0;
    for (size_t i = 0; i < r->member_count; i++)
        voters += r->members[i].member.voter;
    return voters / 2 + 1;
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

/* The highest index that a majority of voters has stored. */
static uint64_t quorum_match(const struct raft *r)
{
    uint64_t *match = xcalloc(r->member_count, sizeof *match);
    size_t n = 0;
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i].member.voter)
            match[n++] = r->members[i].match;
    qsort(match, n, sizeof *match, descending);
    uint64_t index = match[quorum(r) - 1];
    free(match);
    return index;
}

/* ---- roles */

static void reset_timeout(struct raft *r)
{
    r->elapsed = 0;
    r->timeout =
        r->config.election_ticks + (unsigned)prng_below(&r->chance, r->config.election_ticks);
}

static void become_follower(struct raft *r, uint64_t term, uint64_t leader)
{
    if (term > r->hard.term) {
        r->hard = (struct raft_hard_state){.term = term};
        r->hard_dirty = true;
    }
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    r->read_count = r->read_taken = 0; /* whoever asked asks the new leader */
    reset_timeout(r);
}

/* Only an entry of the leader's own term commits by counting [3.6.2, figure 3.7]; those before it
 * come along. */
static void advance_commit(struct raft *r)
{
    uint64_t index = quorum_match(r);
    if (r->role != RAFT_LEADER || index <= r->commit || log_term(&r->log, index) != r->hard.term)
        return;
    for (uint64_t i = r->commit + 1; i <= index; i++)
        r->uncommitted -= log_at(&r->log, i)->len;
    r->commit = index;
}

static void count_own_log(struct raft *r)
{
    struct progress *own = member_of(r, r->config.id);
    if (r->role != RAFT_LEADER || own == NULL)
        return;
    own->match = r->log.stored;
    own->next = log_last(&r->log) + 1;
    advance_commit(r);
}

static void become_leader(struct raft *r)
{
    r->role = RAFT_LEADER;
    r->leader = r->config.id;
    r->elapsed = 0;
    r->uncommitted = 0;
    for (uint64_t i = r->commit + 1; i <= log_last(&r->log); i++)
        r->uncommitted += log_at(&r->log, i)->len;
    for (size_t i = 0; i < r->member_count; i++) {
        r->members[i].match = 0;
        r->members[i].next = log_last(&r->log) + 1;
    }
    log_append(&r->log, r->hard.term, RAFT_NOOP, NULL, 0);
    count_own_log(r);
}

static void count_votes(struct raft *r)
{
    size_t granted = 0;
    for (size_t i = 0; i < r->member_count; i++)
        granted += r->members[i].member.voter && r->members[i].granted;
    if (r->role == RAFT_CANDIDATE && granted >= quorum(r))
        become_leader(r);
}

/* The own vote is a promise like any other: it counts when it is stored, in raft_stored. */
void raft_campaign(struct raft *r)
{
    if (r->role == RAFT_LEADER || !is_voter(r))
        return;
    r->hard = (struct raft_hard_state){.term = r->hard.term + 1, .vote = r->config.id};
    r->hard_dirty = true;
    r->role = RAFT_CANDIDATE;
    r->leader = 0;
    for (size_t i = 0; i < r->member_count; i++)
        r->members[i].granted = r->members[i].refused = false;
    reset_timeout(r);
}

/* ---- life */

static enum err config_check(const struct raft_config *c, struct reason *why)
{
    size_t voters = 0;
    bool self = false;
    for (size_t i = 0; i < c->member_count; i++) {
        voters += c->members[i].voter;
        self |= c->members[i].id == c->id;
        if (c->members[i].id == 0)
            return reason_set(why, ERR_INVALID, "a member's id is 0");
    }
    if (!self || voters != 1 || c->member_count != 1)
        return reason_set(why, ERR_INVALID,
                          "a raft of %zu members: this version runs exactly one, itself",
                          c->member_count);
    uint64_t last_term = c->snapshot_term;
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct raft_entry *e = &c->entries[i];
        if (e->index != c->snapshot_index + 1 + i || e->term < last_term)
            return reason_set(why, ERR_INVALID, "the log has no entry %llu where it should",
                              (unsigned long long)c->snapshot_index + 1 + i);
        last_term = e->term;
    }
    if (last_term > c->hard.term)
        return reason_set(why, ERR_INVALID, "the log is of term %llu, its owner of term %llu",
                          (unsigned long long)last_term, (unsigned long long)c->hard.term);
    return OK;
}

enum err raft_new(struct raft **out, const struct raft_config *c, struct reason *why)
{
    enum err e = config_check(c, why);
    if (e != OK)
        return e;
    struct raft *r = xcalloc(1, sizeof *r);
    r->config = *c;
    if (r->config.election_ticks == 0)
        r->config.election_ticks = DEFAULT_ELECTION_TICKS;
    if (r->config.heartbeat_ticks == 0)
        r->config.heartbeat_ticks = DEFAULT_HEARTBEAT_TICKS;
    if (r->config.max_uncommitted == 0)
        r->config.max_uncommitted = DEFAULT_MAX_UNCOMMITTED;
    prng_seed(&r->chance, c->seed ^ c->id);
    r->hard = c->hard;
    r->log.base = r->commit = r->given = c->snapshot_index;
    r->log.base_term = c->snapshot_term;
    for (size_t i = 0; i < c->entry_count; i++)
        log_append(&r->log, c->entries[i].term, c->entries[i].kind, c->entries[i].data,
                   c->entries[i].len);
    r->log.stored = log_last(&r->log);
    r->member_count = c->member_count;
    r->members = xcalloc(c->member_count, sizeof *r->members);
    for (size_t i = 0; i < c->member_count; i++)
        r->members[i].member = c->members[i];
    r->config.members = NULL; /* the caller's: not kept */
    r->config.entries = NULL;
    become_follower(r, r->hard.term, 0);
    *out = r;
    return OK;
}

void raft_free(struct raft *r)
{
    if (r == NULL)
        return;
    log_fini(&r->log);
    free(r->members);
    free(r->reads);
    free(r->write_entries);
    free(r);
}

void raft_tick(struct raft *r)
{
    r->elapsed++;
    if (r->role != RAFT_LEADER && r->elapsed >= r->timeout)
        raft_campaign(r);
}

/* A message of a newer term makes a follower of anyone [3.3]; there is nobody to send others. */
void raft_step(struct raft *r, const struct raft_message *m)
{
    if (member_of(r, m->from) == NULL || m->from == r->config.id)
        return;
    if (m->term > r->hard.term)
        become_follower(r, m->term, 0);
}

enum err raft_propose(struct raft *r, const void *data, size_t len, uint64_t *index)
{
    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (r->uncommitted > 0 && r->uncommitted + len > r->config.max_uncommitted)
        return ERR_BUSY;
    log_append(&r->log, r->hard.term, RAFT_COMMAND, data, len);
    r->uncommitted += len;
    *index = log_last(&r->log);
    count_own_log(r);
    return OK;
}

/* ---- storing */

bool raft_ready(struct raft *r, struct raft_ready *out)
{
    uint64_t stored = r->log.stored, last = log_last(&r->log);
    if (r->write_out || (!r->hard_dirty && last == stored))
        return false;
    size_t n = (size_t)(last - stored);
    if (n > 0) {
        r->write_entries = xcalloc(n, sizeof *r->write_entries);
        for (size_t i = 0; i < n; i++)
            r->write_entries[i] = *log_at(&r->log, stored + 1 + i);
    }
    r->write_out = true;
    r->write_hard = r->hard_dirty;
    r->write_has_vote = r->hard_dirty && r->hard.vote == r->config.id;
    r->write_last = last;
    r->write_last_term = log_last_term(&r->log);
    r->hard_dirty = false;
    *out = (struct raft_ready){.must_store = true,
                               .hard_changed = r->write_hard,
                               .hard = r->hard,
                               .entries = r->write_entries,
                               .entry_count = n};
    return true;
}

static void write_end(struct raft *r)
{
    must(r->write_out);
    r->write_out = false;
    free(r->write_entries);
    r->write_entries = NULL;
    log_bury(&r->log);
}

void raft_stored(struct raft *r)
{
    write_end(r);
    /* What was cut off and written anew meanwhile has another term, and its own write to come. */
    if (log_term(&r->log, r->write_last) == r->write_last_term && r->write_last > r->log.stored)
        r->log.stored = r->write_last;
    struct progress *own = member_of(r, r->config.id);
    bool vote_stands = r->write_has_vote && r->hard.vote == r->config.id && !r->hard_dirty;
    if (r->role == RAFT_CANDIDATE && own != NULL && vote_stands) {
        own->granted = true;
        count_votes(r);
    }
    count_own_log(r);
}

void raft_store_failed(struct raft *r)
{
    r->hard_dirty |= r->write_hard;
    write_end(r);
    if (log_last(&r->log) > r->log.stored)
        log_truncate(&r->log, r->log.stored + 1, false);
    r->uncommitted = 0;
    for (uint64_t i = r->commit + 1; i <= log_last(&r->log); i++)
        r->uncommitted += log_at(&r->log, i)->len;
    if (r->role != RAFT_LEADER)
        return;
    if (r->member_count > 1) {
        become_follower(r, r->hard.term, 0);
        return;
    }
    /* The entry that lets older ones commit was lost with the rest. */
    if (r->commit < log_last(&r->log) && log_last_term(&r->log) != r->hard.term)
        log_append(&r->log, r->hard.term, RAFT_NOOP, NULL, 0);
    count_own_log(r);
}

/* ---- applying */

bool raft_next_committed(struct raft *r, struct raft_entry *out)
{
    uint64_t limit = r->commit < r->log.stored ? r->commit : r->log.stored;
    if (r->given >= limit)
        return false;
    *out = *log_at(&r->log, ++r->given);
    return true;
}

void raft_applied(struct raft *r, uint64_t index)
{
    must(index <= r->given);
    log_compact(&r->log, index, r->write_out);
}

/* ---- reads: with one voter nobody else can have become leader, so the commit index of now is
 * right at once */

enum err raft_read_index(struct raft *r, uint64_t context)
{
    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (log_term(&r->log, r->commit) != r->hard.term)
        return ERR_BUSY;
    r->reads = xrealloc(r->reads, (r->read_count + 1) * sizeof *r->reads);
    r->reads[r->read_count++] = (struct read){context, r->commit};
    return OK;
}

bool raft_next_read(struct raft *r, uint64_t *context, uint64_t *index)
{
    if (r->read_taken == r->read_count) {
        r->read_taken = r->read_count = 0;
        return false;
    }
    *context = r->reads[r->read_taken].context;
    *index = r->reads[r->read_taken++].index;
    return true;
}

/* ---- questions */

void raft_status(const struct raft *r, struct raft_status *out)
{
    *out = (struct raft_status){.id = r->config.id,
                                .leader = r->leader,
                                .role = r->role,
                                .term = r->hard.term,
                                .commit = r->commit,
                                .given = r->given,
                                .stored = r->log.stored,
                                .first = r->log.base + 1,
                                .last = log_last(&r->log),
                                .uncommitted = r->uncommitted};
}

void raft_check(const struct raft *r)
{
    must(r->log.base <= r->given && r->given <= r->commit && r->commit <= log_last(&r->log));
    must(r->log.stored <= log_last(&r->log) && r->given <= r->log.stored);
    uint64_t term = r->log.base_term, uncommitted = 0;
    for (uint64_t i = r->log.base + 1; i <= log_last(&r->log); i++) {
        const struct raft_entry *e = log_at(&r->log, i);
        must(e->index == i && e->term >= term && e->term <= r->hard.term);
        term = e->term;
        if (i > r->commit)
            uncommitted += e->len;
    }
    must(r->role != RAFT_LEADER || uncommitted == r->uncommitted);
    must(r->role != RAFT_LEADER || r->leader == r->config.id);
}
