#include "autopilot.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000
/* One that is silent for so long is not counted on when another is to be removed. */
#define UNSURE_MS 2000u

struct memory {
    uint64_t raft_id;
    struct autopilot_health health;
};

struct autopilot {
    struct memory members[RAFT_MAX_MEMBERS];
    size_t count;
};

struct autopilot *autopilot_new(void)
{
    return xcalloc(1, sizeof(struct autopilot));
}

void autopilot_free(struct autopilot *a)
{
    free(a);
}

void autopilot_reset(struct autopilot *a)
{
    a->count = 0;
}

struct autopilot_health autopilot_health(const struct autopilot *a, uint64_t raft_id)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->members[i].raft_id == raft_id)
            return a->members[i].health;
    return (struct autopilot_health){0};
}

static bool is_healthy(const struct autopilot_input *in, const struct autopilot_server *s)
{
    uint64_t threshold = (uint64_t)(in->config->last_contact_threshold_ns / NS_PER_MS);
    if (s->leader)
        return true;
    return s->last_contact_ms <= threshold &&
           (in->last_index <= s->match ||
            in->last_index - s->match <= in->config->max_trailing_logs);
}

/* Since when each member is what it is. */
static void remember(struct autopilot *a, const struct autopilot_input *in)
{
    struct autopilot next = {.count = 0};
    for (size_t i = 0; i < in->count && next.count < RAFT_MAX_MEMBERS; i++) {
        const struct autopilot_server *s = &in->servers[i];
        if (!s->member)
            continue;
        struct autopilot_health was = autopilot_health(a, s->raft_id);
        bool healthy = is_healthy(in, s);
        bool same = was.since_ms != 0 && was.healthy == healthy;
        next.members[next.count++] =
            (struct memory){s->raft_id, {healthy, same ? was.since_ms : in->now_ms}};
    }
    *a = next;
}

/* Whether those that remain without s can decide, and are as many as must remain. */
static bool may_remove(const struct autopilot_input *in, const struct autopilot_server *s)
{
    size_t voters = 0, sure = 0, least = in->config->min_quorum > 1 ? in->config->min_quorum : 1;
    if (s->leader)
        return false;
    if (!s->voter)
        return true;
    for (size_t i = 0; i < in->count; i++) {
        const struct autopilot_server *o = &in->servers[i];
        if (!o->member || !o->voter || o == s)
            continue;
        voters++;
        sure += o->leader || o->last_contact_ms < UNSURE_MS;
    }
    return voters >= least && sure >= voters / 2 + 1;
}

/* A new server, already a member or not, has the name of a member that is silent: its directory was
 * made anew. */
static bool is_replaced(const struct autopilot_input *in, const struct autopilot_server *s)
{
    if (s->name[0] == '\0' || s->last_contact_ms < UNSURE_MS)
        return false;
    for (size_t i = 0; i < in->count; i++) {
        const struct autopilot_server *o = &in->servers[i];
        bool speaks = !o->member || o->last_contact_ms < UNSURE_MS;
        if (o != s && o->alive && o->may_join && speaks && strcmp(o->name, s->name) == 0)
            return true;
    }
    return false;
}

static struct autopilot_action act(enum autopilot_kind kind, const struct autopilot_server *s,
                                   const char *why)
{
    return (struct autopilot_action){kind, s->raft_id, why};
}

static struct autopilot_action look_at(const struct autopilot *a, const struct autopilot_input *in,
                                       const struct autopilot_server *s)
{
    struct autopilot_action nothing = {AUTOPILOT_NOTHING, 0, ""};
    if (!s->member)
        return s->alive && s->may_join ? act(AUTOPILOT_ADD, s, "it was seen") : nothing;
    if (is_replaced(in, s) && may_remove(in, s))
        return act(AUTOPILOT_REMOVE, s, "a new server has its name");
    bool dead = !s->leader && !s->alive && s->last_contact_ms >= in->dead_after_ms;
    if (in->config->cleanup_dead_servers && dead && may_remove(in, s))
        return act(AUTOPILOT_REMOVE, s, "it is dead for long");
    struct autopilot_health h = autopilot_health(a, s->raft_id);
    uint64_t stable = (uint64_t)(in->config->server_stabilization_time_ns / NS_PER_MS);
    if (!s->voter && !s->non_voting && h.healthy && in->now_ms - h.since_ms >= stable)
        return act(AUTOPILOT_PROMOTE, s, "it has caught up and is stable");
    return nothing;
}

/* Removals first: one that is replaced must be gone before its successor makes the group larger. */
struct autopilot_action autopilot_step(struct autopilot *a, const struct autopilot_input *in)
{
    struct autopilot_action best = {AUTOPILOT_NOTHING, 0, ""};
    remember(a, in);
    for (size_t i = 0; !in->change_out && i < in->count; i++) {
        struct autopilot_action one = look_at(a, in, &in->servers[i]);
        if (one.kind > best.kind)
            best = one;
    }
    return best;
}
