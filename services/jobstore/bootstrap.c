#include "bootstrap.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

#define ID_BYTES 16u

/* The ids' hash, in the form of a UUID (version 8: made by rules of one's own). */
void bootstrap_cluster_id(const struct candidate *const *servers, size_t count, uint8_t out[16])
{
    uint64_t h[2] = {0x6e6f726e, count};
    for (size_t i = 0; i < count; i++)
        for (unsigned k = 0; k < 2; k++)
            h[k] = hash_bytes(servers[i]->server_id, ID_BYTES, h[k] + k + i);
    memcpy(out, h, sizeof h);
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x80);
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

static int by_raft_id(const void *a, const void *b)
{
    uint64_t x = (*(const struct candidate *const *)a)->raft_id,
             y = (*(const struct candidate *const *)b)->raft_id;
    return (x > y) - (x < y);
}

/* What a person must mend; OK: nothing. */
static enum err conflict(const struct candidate *self, const struct candidate *other,
                         struct reason *why)
{
    bool same_id = memcmp(self->server_id, other->server_id, ID_BYTES) == 0;
    if (same_id || self->raft_id == other->raft_id)
        return reason_set(why, ERR_INVALID,
                          "%s has the same id as %s: a data directory was copied; stop the copy "
                          "and empty its data directory",
                          other->name, self->name);
    if (strcmp(self->name, other->name) == 0)
        return reason_set(why, ERR_INVALID,
                          "two servers are called %s: give each a server_name of its own",
                          self->name);
    if (other->cluster_id == NULL && other->expect != 0 && self->expect != 0 &&
        other->expect != self->expect)
        return reason_set(why, ERR_INVALID,
                          "bootstrap_expect is %u here and %u at %s: make them equal", self->expect,
                          other->expect, other->name);
    return OK;
}

/* The N lowest of those that could belong to the set. */
static void choose(const struct candidate *all, size_t count, struct bootstrap_set *set)
{
    const struct candidate **usable = xcalloc(count, sizeof *usable);
    size_t n = 0, want = all[0].expect;
    for (size_t i = 0; i < count; i++)
        if (!all[i].non_voting)
            usable[n++] = &all[i];
    qsort(usable, n, sizeof *usable, by_raft_id);
    set->count = n < want ? n : want;
    for (size_t i = 0; i < set->count; i++)
        set->servers[i] = usable[i];
    free(usable);
    bootstrap_cluster_id(set->servers, set->count, set->cluster_id);
}

static bool of_this_set(const struct candidate *c, const struct bootstrap_set *set)
{
    return c->cluster_id == NULL || memcmp(c->cluster_id, set->cluster_id, ID_BYTES) == 0;
}

enum bootstrap_step bootstrap_decide(const struct candidate *all, size_t count,
                                     struct bootstrap_set *set, struct reason *why)
{
    const struct candidate *self = &all[0];
    reason_set(why, OK, "waiting to be added to a cluster");
    for (size_t i = 1; i < count; i++)
        if (conflict(self, &all[i], why) != OK)
            return BOOTSTRAP_STOP;
    if (self->expect == 0 || self->non_voting)
        return BOOTSTRAP_JOIN;
    if (self->expect > BOOTSTRAP_MOST) {
        reason_set(why, ERR_INVALID, "bootstrap_expect is %u: at most %u are possible",
                   self->expect, BOOTSTRAP_MOST);
        return BOOTSTRAP_STOP;
    }
    choose(all, count, set);
    for (size_t i = 0; i < count; i++)
        if (!of_this_set(&all[i], set))
            return BOOTSTRAP_JOIN;
    if (set->count < self->expect) {
        reason_set(why, OK, "%zu of %u servers are seen", set->count, self->expect);
        return BOOTSTRAP_WAIT;
    }
    reason_set(why, OK, "%s begins the first cluster", set->servers[0]->name);
    return set->servers[0] == self ? BOOTSTRAP_ASK : BOOTSTRAP_WAIT;
}
