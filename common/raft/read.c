/* Linearizable reads without a log entry [6.4]: a read is answered with the commit index of when it
 * was asked, after a majority has confirmed in a round of heartbeats that began later that we
 * still lead. Reads that come during a round wait together for the next. */
#include "raft/core.h"
#include <string.h>

static uint64_t round_of(const struct raft *r, const struct progress *p)
{
    return p->member.id == r->config.id ? r->round : p->round;
}

void reads_clear(struct raft *r)
{
    r->read_begin = r->read_count = 0;
    r->round_confirmed = r->round;
    r->round_wanted = false;
}

void reads_confirm(struct raft *r)
{
    uint64_t confirmed = quorum_value(r, round_of);
    if (confirmed > r->round_confirmed)
        r->round_confirmed = confirmed;
}

void reads_force_round(struct raft *r)
{
    if (r->role != RAFT_LEADER || !r->round_wanted)
        return;
    r->round++;
    r->round_wanted = false;
    for (size_t i = 0; i < r->member_count; i++)
        r->members[i].heartbeat_due = true;
    reads_confirm(r); /* with one voter nobody else is to be asked */
}

void reads_begin_round(struct raft *r)
{
    if (r->round_confirmed == r->round)
        reads_force_round(r);
}

static void make_room(struct raft *r)
{
    if (r->read_begin + r->read_count < r->read_room)
        return;
    if (r->read_begin > r->read_room / 2) {
        memmove(r->reads, r->reads + r->read_begin, r->read_count * sizeof *r->reads);
        r->read_begin = 0;
        return;
    }
    r->read_room = r->read_room * 2 + 16;
    r->reads = xrealloc(r->reads, r->read_room * sizeof *r->reads);
}

/* Until it has committed an entry of its own a new leader does not know how far its predecessors
 * committed. */
enum err raft_read_index(struct raft *r, uint64_t context)
{
    if (r->role != RAFT_LEADER)
        return ERR_NOT_LEADER;
    if (log_term(&r->log, r->commit) != r->hard.term && !MUTANT(READ_BEFORE_OWN_COMMIT))
        return ERR_BUSY;
    if (r->read_count >= r->config.max_reads)
        return ERR_BUSY;
    make_room(r);
    uint64_t round = r->round + (MUTANT(READ_BY_OLD_ROUND) ? 0 : 1);
    r->reads[r->read_begin + r->read_count++] =
        (struct read){.context = context, .index = r->commit, .round = round};
    r->round_wanted = true;
    if (r->member_count == 1)
        reads_begin_round(r);
    return OK;
}

bool raft_next_read(struct raft *r, uint64_t *context, uint64_t *index)
{
    const struct read *first = &r->reads[r->read_begin];
    if (r->read_count == 0)
        return false;
    if (first->round > r->round_confirmed && !MUTANT(READ_WITHOUT_ROUND))
        return false;
    *context = first->context;
    *index = first->index;
    r->read_begin++;
    if (--r->read_count == 0)
        r->read_begin = 0;
    return true;
}
