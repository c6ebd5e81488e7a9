/* Who belongs to the cluster, and who counts [4]. A RAFT_MEMBERS entry is in force from the moment
 * it is in the log, committed or not; where it is cut off, the members before it are again. */
#include "raft/core.h"
#include <stdlib.h>
#include <string.h>

#define MEMBER_BYTES 9u

/* ---- counting */

struct progress *member_of(const struct raft *r, uint64_t id)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i].member.id == id)
            return &r->members[i];
    return NULL;
}

bool is_voter(const struct raft *r)
{
    const struct progress *p = member_of(r, r->config.id);
    return p != NULL && p->member.voter;
}

static bool votes_in(const struct members *m, uint64_t id)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->list[i].id == id)
            return m->list[i].voter;
    return false;
}

bool may_campaign(const struct raft *r)
{
    size_t first = MUTANT(OUTSIDER_IS_QUIET) ? r->config_count - 1 : 0;
    for (size_t i = first; i < r->config_count; i++)
        if (votes_in(&r->configs[i], r->config.id))
            return true;
    return false;
}

static bool counts(const struct progress *p)
{
    return p->member.voter || MUTANT(LEARNER_COUNTS);
}

size_t quorum(const struct raft *r)
{
    size_t voters = 0;
    for (size_t i = 0; i < r->member_count; i++)
        voters += r->members[i].member.voter;
    return voters / 2 + 1;
}

uint64_t quorum_value(const struct raft *r,
                      uint64_t (*value)(const struct raft *, const struct progress *))
{
    uint64_t sorted[RAFT_MAX_MEMBERS] = {0}; /* descending */
    size_t n = 0;
    for (size_t i = 0; i < r->member_count; i++) {
        if (!counts(&r->members[i]))
            continue;
        uint64_t v = value(r, &r->members[i]);
        size_t at = n++;
        for (; at > 0 && sorted[at - 1] < v; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = v;
    }
    size_t needed = quorum(r);
    return needed > n ? 0 : sorted[needed - 1];
}

/* ---- the bytes of an entry: per member its id, little endian, and whether it votes */

size_t raft_members_encode(const struct raft_member *members, size_t count,
                           uint8_t out[RAFT_MEMBERS_SIZE])
{
    must(count <= RAFT_MAX_MEMBERS);
    for (size_t i = 0; i < count; i++) {
        for (unsigned b = 0; b < 8; b++)
            out[i * MEMBER_BYTES + b] = (uint8_t)(members[i].id >> (8 * b));
        out[i * MEMBER_BYTES + 8] = members[i].voter;
    }
    return count * MEMBER_BYTES;
}

bool raft_members_decode(const void *data, size_t len, struct raft_member out[RAFT_MAX_MEMBERS],
                         size_t *count)
{
    const uint8_t *bytes = data;
    size_t n = len / MEMBER_BYTES;
    if (len % MEMBER_BYTES != 0 || n == 0 || n > RAFT_MAX_MEMBERS)
        return false;
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct raft_member){.id = 0};
        for (unsigned b = 0; b < 8; b++)
            out[i].id |= (uint64_t)bytes[i * MEMBER_BYTES + b] << (8 * b);
        if (bytes[i * MEMBER_BYTES + 8] > 1)
            return false;
        out[i].voter = bytes[i * MEMBER_BYTES + 8] == 1;
    }
    *count = n;
    return members_valid(out, n, NULL);
}

bool members_valid(const struct raft_member *list, size_t count, struct reason *why)
{
    size_t voters = 0;
    if (count > RAFT_MAX_MEMBERS) {
        reason_set(why, ERR_INVALID, "%zu members: at most %d are possible", count,
                   RAFT_MAX_MEMBERS);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        voters += list[i].voter;
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice |= list[k].id == list[i].id;
        if (list[i].id == 0 || twice) {
            reason_set(why, ERR_INVALID,
                       list[i].id == 0 ? "a member's id is 0" : "two members have the same id");
            return false;
        }
    }
    if (count > 0 && voters == 0) {
        reason_set(why, ERR_INVALID, "none of the %zu members is a voter", count);
        return false;
    }
    return true;
}

/* ---- the history: what is settled, and what may still be cut off */

static int by_id(const void *a, const void *b)
{
    const struct raft_member *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void push(struct raft *r, uint64_t index, const struct raft_member *list, size_t count)
{
    if (r->config_count == r->config_room) {
        r->config_room = r->config_room * 2 + 4;
        r->configs = xrealloc(r->configs, r->config_room * sizeof *r->configs);
    }
    struct members *m = &r->configs[r->config_count++];
    *m = (struct members){.index = index, .count = count};
    if (count > 0)
        memcpy(m->list, list, count * sizeof *list);
    qsort(m->list, count, sizeof *m->list, by_id);
}

/* Makes the newest of the history the members; keeps what is known of those that stay. */
static void put_in_force(struct raft *r)
{
    const struct members *m = &r->configs[r->config_count - 1];
    struct progress *old = r->members;
    size_t old_count = r->member_count;
    r->members = xcalloc(m->count + 1, sizeof *r->members);
    r->member_count = m->count;
    for (size_t i = 0; i < m->count; i++) {
        struct progress *p = &r->members[i];
        progress_reset(r, p);
        for (size_t k = 0; k < old_count; k++) {
            if (old[k].member.id != m->list[i].id)
                continue;
            progress_fini(p);
            *p = old[k];
            old[k] = (struct progress){.match = 0};
        }
        p->member = m->list[i];
    }
    for (size_t k = 0; k < old_count; k++)
        progress_fini(&old[k]);
    free(old);
}

void members_begin(struct raft *r, uint64_t index, const struct raft_member *list, size_t count)
{
    r->config_count = 0;
    push(r, index, list, count);
    put_in_force(r);
}

/* What no leader of ours can have written changes nothing; so it is on every server alike. */
void members_appended(struct raft *r, const struct raft_entry *e)
{
    struct raft_member list[RAFT_MAX_MEMBERS];
    size_t count;
    if (e->kind != RAFT_MEMBERS || !raft_members_decode(e->data, e->len, list, &count))
        return;
    push(r, e->index, list, count);
    put_in_force(r);
}

void members_cut(struct raft *r, uint64_t index)
{
    size_t before = r->config_count;
    if (MUTANT(MEMBERS_STAY_AFTER_CUT))
        return;
    while (r->config_count > 1 && r->configs[r->config_count - 1].index >= index)
        r->config_count--;
    if (r->config_count != before)
        put_in_force(r);
}

/* Committed and stored: cut off no more, not even by a write that fails. */
void members_settle(struct raft *r)
{
    uint64_t settled = r->commit < r->log.stored ? r->commit : r->log.stored;
    size_t gone = 0;
    while (gone + 1 < r->config_count && r->configs[gone + 1].index <= settled)
        gone++;
    if (gone == 0)
        return;
    r->config_count -= gone;
    memmove(r->configs, r->configs + gone, r->config_count * sizeof *r->configs);
}

void members_check(const struct raft *r)
{
    must(r->config_count > 0);
    for (size_t i = 1; i < r->config_count; i++)
        must(r->configs[i].index > r->configs[i - 1].index);
    const struct members *now = &r->configs[r->config_count - 1];
    must(MUTANT(MEMBERS_STAY_AFTER_CUT) || now->index <= log_last(&r->log));
    must(now->count == r->member_count);
    for (size_t i = 0; i < now->count; i++)
        must(now->list[i].id == r->members[i].member.id &&
             now->list[i].voter == r->members[i].member.voter);
}

/* ---- changes, one at a time */

/* Two majorities of sets that differ by one voter overlap [4.1, figure 4.3]: so the change before
 * must be committed; and, by the fault found later [raft-dev, 2015-07-10], an entry of this term
 * too, or a change of an older leader may still come back and two steps be taken at once. */
static bool change_is_possible(const struct raft *r)
{
    uint64_t newest = r->configs[r->config_count - 1].index;
    bool own = log_term(&r->log, r->commit) == r->hard.term || MUTANT(CHANGE_BEFORE_OWN_COMMIT);
    bool one = newest <= r->commit || MUTANT(TWO_CHANGES_AT_ONCE);
    return own && one && r->transferee == 0;
}

static enum err change_list(struct members *m, enum raft_change change, uint64_t id,
                            struct reason *why)
{
    size_t at = 0;
    bool voter = change == RAFT_SET_VOTER;
    while (at < m->count && m->list[at].id != id)
        at++;
    if (change == RAFT_REMOVE) {
        if (at == m->count)
            return reason_set(why, ERR_NOT_FOUND, "there is no such member");
        m->list[at] = m->list[--m->count];
    } else if (at < m->count) {
        if (m->list[at].voter == voter)
            return reason_set(why, ERR_EXISTS, "it is a %s already", voter ? "voter" : "learner");
        m->list[at].voter = voter;
    } else if (m->count == RAFT_MAX_MEMBERS) {
        return reason_set(why, ERR_INVALID, "there are %d members, no more are possible",
                          RAFT_MAX_MEMBERS);
    } else {
        m->list[m->count++] = (struct raft_member){.id = id, .voter = voter};
    }
    return OK;
}

enum err raft_change_members(struct raft *r, enum raft_change change, uint64_t id, uint64_t *index,
                             struct reason *why)
{
    if (r->role != RAFT_LEADER)
        return reason_set(why, ERR_NOT_LEADER, "only the leader changes members");
    if (!change_is_possible(r))
        return reason_set(why, ERR_BUSY, "another change of members is on its way");
    struct members m = r->configs[r->config_count - 1];
    enum err e = change_list(&m, change, id, why);
    if (e != OK)
        return e;
    if (m.count == 0)
        return reason_set(why, ERR_INVALID, "the last member cannot be removed");
    if (!members_valid(m.list, m.count, why))
        return ERR_INVALID;
    uint8_t data[RAFT_MEMBERS_SIZE];
    size_t len = raft_members_encode(m.list, m.count, data);
    log_append(&r->log, r->hard.term, RAFT_MEMBERS, data, len);
    r->uncommitted += len;
    *index = log_last(&r->log);
    members_appended(r, log_at(&r->log, *index));
    advance_commit(r);
    return OK;
}
