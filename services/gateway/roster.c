#include "roster.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS       1000
#define HURRY_MS     50
#define BUDGET_MS    1000
#define MEMBERS_SIZE (4u << 20)
#define RPC_PORT     4647u

struct roster {
    struct loop *loop;
    struct roster_options options;
    struct timer again;
    struct call *call;
    struct arena *arena, *spare; /* members lives in arena; the spare holds the ones before */
    Pb__Members *members;
    uint8_t *packed; /* of members: to see whether another answer differs */
    size_t packed_len;
};

static const Pb__Members nobody = PB__MEMBERS__INIT;

static void ask(void *owner);

static bool is_news(struct roster *r, const Pb__Members *m)
{
    size_t len = pb__members__get_packed_size(m);
    uint8_t *packed = xmalloc(len + 1);
    pb__members__pack(m, packed);
    if (len == r->packed_len && r->packed != NULL && memcmp(packed, r->packed, len) == 0) {
        free(packed);
        return false;
    }
    free(r->packed);
    r->packed = packed;
    r->packed_len = len;
    return true;
}

static void on_members(void *owner, const struct response *response)
{
    struct roster *r = owner;
    const Pb__Members *m = (const Pb__Members *)response->body;
    r->call = NULL;
    timer_arm(r->loop, &r->again, ASK_MS, ask, r);
    if (response->code != PB__REPLY__CODE__OK || m == NULL || !is_news(r, m))
        return; /* what was known stays the best guess */
    struct arena *old = r->arena;
    r->arena = r->spare;
    r->spare = old;
    arena_reset(r->arena);
    r->members = (Pb__Members *)wire_clone(r->arena, &m->base);
    if (r->options.changed != NULL)
        r->options.changed(r->options.self);
}

static void ask(void *owner)
{
    struct roster *r = owner;
    if (r->call != NULL)
        return;
    r->call =
        client_call(r->options.gossip, &(struct call_options){.method = PB__GOSSIP__METHOD__MEMBERS,
                                                              .reply = &pb__members__descriptor,
                                                              .budget_ms = BUDGET_MS,
                                                              .retry = true,
                                                              .done = on_members,
                                                              .owner = r});
}

static bool asks(const struct roster *r)
{
    return r->options.gossip != NULL && r->options.listen_rpc[0] != '\0';
}

void roster_hurry(struct roster *r)
{
    if (asks(r) && r->call == NULL)
        timer_arm(r->loop, &r->again, HURRY_MS, ask, r);
}

struct roster *roster_open(struct loop *l, const struct roster_options *o)
{
    struct roster *r = xcalloc(1, sizeof(*r));
    r->loop = l;
    r->options = *o;
    r->arena = arena_new(MEMBERS_SIZE);
    r->spare = arena_new(MEMBERS_SIZE);
    if (asks(r))
        ask(r);
    return r;
}

void roster_close(struct roster *r)
{
    if (r == NULL)
        return;
    timer_cancel(r->loop, &r->again);
    if (r->call != NULL)
        call_cancel(r->call);
    arena_free(r->arena);
    arena_free(r->spare);
    free(r->packed);
    free(r);
}

const char *roster_region(const struct roster *r)
{
    return r->options.region;
}

const Pb__Members *roster_members(const struct roster *r)
{
    return r->members != NULL ? r->members : &nobody;
}

bool roster_is_self(const struct roster *r, const Pb__Member *m)
{
    const char *self = roster_members(r)->self;
    return self != NULL && m->name != NULL && strcmp(m->name, self) == 0;
}

bool roster_is_up(const Pb__Member *m, const char *region)
{
    return (m->status == PB__MEMBER__STATUS__ALIVE || m->status == PB__MEMBER__STATUS__SUSPECT) &&
           m->region != NULL && strcmp(m->region, region) == 0;
}

const Pb__Member *roster_by_raft_id(const struct roster *r, uint64_t raft_id)
{
    const Pb__Members *all = roster_members(r);
    for (size_t i = 0; raft_id != 0 && i < all->n_members; i++)
        if (all->members[i]->raft_id == raft_id && all->members[i]->region != NULL &&
            strcmp(all->members[i]->region, r->options.region) == 0)
            return all->members[i];
    return NULL;
}

bool roster_door(const struct roster *r, const Pb__Member *m, char out[256])
{
    const char *scheme = strncmp(r->options.listen_rpc, "tls+", 4) == 0 ? "tls+tcp://" : "tcp://";
    int n;
    if (m->rpc_address != NULL && strstr(m->rpc_address, "://") != NULL)
        n = snprintf(out, 256, "%s", m->rpc_address);
    else if (m->rpc_address != NULL && m->rpc_address[0] != '\0')
        n = snprintf(out, 256, "%s%s", scheme, m->rpc_address);
    else if (m->address != NULL && m->address[0] != '\0')
        n = snprintf(out, 256, "%s%s:%u", scheme, m->address,
                     m->rpc_port != 0 ? m->rpc_port : RPC_PORT);
    else
        return false;
    return n > 0 && n < 256;
}

size_t roster_doors(const struct roster *r, struct arena *a, char ***out)
{
    const Pb__Members *all = roster_members(r);
    char door[256];
    size_t n = 0;
    *out = arena_array(a, char *, all->n_members + 1);
    for (size_t i = 0; i < all->n_members; i++)
        if (roster_is_up(all->members[i], r->options.region) &&
            roster_door(r, all->members[i], door))
            (*out)[n++] = arena_strdup(a, door);
    return n;
}
