/* What raft promises, looked at from outside whenever a leader has applied something: one leader a
 * term, and what it commits lies on the disks of a majority. */
#include "base/err.h"
#include "base/map.h"
#include "jobstore/jobstore.h"
#include "world.h"
#include <stdlib.h>

static struct map *leaders; /* term -> raft id */

void consensus_begin(void)
{
    leaders = map_new();
}

void consensus_free(void)
{
    size_t i = 0;
    void *value;
    while (map_next(leaders, &i, NULL, NULL, &value))
        free(value);
    map_free(leaders);
}

static void check_term(const struct raft_status *s)
{
    uint64_t *known = map_get(leaders, &s->term, sizeof(s->term));
    if (known == NULL) {
        known = xmalloc(sizeof(*known));
        *known = s->id;
        map_put(leaders, &s->term, sizeof(s->term), known);
    } else if (*known != s->id) {
        world_fail(2, "two leaders of term %llu", (unsigned long long)s->term);
    }
}

/* A server that does not run may have it. */
static bool may_have(uint64_t raft_id, uint64_t index)
{
    for (unsigned i = 0; i < world->options.servers; i++) {
        struct replica_status s;
        const struct jobstore *js = world->jobstore[i]->self;
        if (js == NULL || js->replica == NULL || replica_raft_id(js->replica) != raft_id)
            continue;
        replica_status(js->replica, &s);
        return s.raft.stored >= index;
    }
    return true;
}

/* Only what was committed by the members of now. */
static void check_copies(struct replica *r, const struct raft_status *s)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    size_t voters = 0, have = 0, count = replica_peers(r, peers);
    for (size_t i = 0; i < count && s->members_committed; i++) {
        voters += peers[i].voter;
        have += peers[i].voter && may_have(peers[i].id, s->commit);
    }
    if (voters > 0 && have <= voters / 2)
        world_fail(2, "a leader commits %llu, which %zu of %zu voters have",
                   (unsigned long long)s->commit, have, voters);
}

void consensus_state_changed(struct process *p)
{
    struct replica_status s;
    const struct jobstore *js = p->self;
    if (js == NULL || js->replica == NULL)
        return;
    replica_status(js->replica, &s);
    if (s.raft.role != RAFT_LEADER)
        return;
    check_term(&s.raft);
    check_copies(js->replica, &s.raft);
}
