#include "roster.h"
#include "member.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS        1000
#define ASK_SELDOM_MS 10000
#define HURRY_MS      50
#define BUDGET_MS     1000
#define MEMBERS_SIZE  (4u << 20)

struct roster {
    struct loop *loop;
    struct roster_options options;
    struct timer again;
    struct call *call;
    struct arena *arena, *spare; /* members lives in arena; the spare holds the ones before */
    Pb__Members *members;
    struct arena *given_arena;
    Pb__Members given; /* by the setting */
    uint8_t *packed;   /* of members: to see whether another answer differs */
    size_t packed_len;
};

static void ask(void *owner);

static bool has_door(const struct roster *r)
{
    return r->options.listen_rpc[0] != '\0';
}

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

static bool is_among(const Pb__Members *all, const char *name)
{
    for (size_t i = 0; i < all->n_members; i++)
        if (all->members[i]->name != NULL && strcmp(all->members[i]->name, name) == 0)
            return true;
    return false;
}

/* What gossip says of a server counts more than what a setting does. */
static void add_given(struct roster *r)
{
    Pb__Members *m = r->members;
    Pb__Member **all = arena_array(r->arena, Pb__Member *, m->n_members + r->given.n_members + 1);
    if (m->n_members > 0)
        memcpy(all, m->members, m->n_members * sizeof(*all));
    m->members = all;
    for (size_t i = 0; i < r->given.n_members; i++)
        if (!is_among(m, r->given.members[i]->name))
            m->members[m->n_members++] = r->given.members[i];
}

/* A server without a door has nobody to go to: it only tells clients who there is. */
static uint64_t pause_ms(const struct roster *r)
{
    if (r->members == NULL)
        return HURRY_MS;
    return has_door(r) ? ASK_MS : ASK_SELDOM_MS;
}

static void on_members(void *owner, const struct response *response)
{
    struct roster *r = owner;
    const Pb__Members *m = (const Pb__Members *)response->body;
    r->call = NULL;
    timer_arm(r->loop, &r->again, pause_ms(r), ask, r);
    if (response->code != PB__REPLY__CODE__OK || m == NULL || !is_news(r, m))
        return; /* what was known stays the best guess */
    struct arena *old = r->arena;
    r->arena = r->spare;
    r->spare = old;
    arena_reset(r->arena);
    r->members = (Pb__Members *)wire_clone(r->arena, &m->base);
    add_given(r);
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

void roster_hurry(struct roster *r)
{
    if (r->options.gossip != NULL && r->call == NULL)
        timer_arm(r->loop, &r->again, HURRY_MS, ask, r);
}

static enum err add_peer(struct roster *r, char *text, struct reason *why)
{
    char *door = strchr(text, '='), *region = NULL;
    if (door != NULL) {
        *door++ = '\0';
        region = strrchr(text, '.');
    }
    if (region == NULL || region == text || region[1] == '\0' || *door == '\0')
        return reason_set(why, ERR_INVALID,
                          "peers: \"%s\" is not NAME.REGION=ADDRESS, such as "
                          "s2.global=tcp://10.0.0.2:4647",
                          text);
    Pb__Member *m = arena_array(r->given_arena, Pb__Member, 1);
    pb__member__init(m);
    m->name = text;
    m->region = region + 1;
    m->rpc_address = door;
    m->has_status = true;
    m->status = PB__MEMBER__STATUS__ALIVE;
    r->given.members[r->given.n_members++] = m;
    return OK;
}

static enum err read_peers(struct roster *r, struct reason *why)
{
    char *rest = arena_strdup(r->given_arena, r->options.peers), *one;
    size_t room = 1;
    enum err e = OK;
    for (const char *c = rest; *c != '\0'; c++)
        room += *c == ',';
    r->given.members = arena_array(r->given_arena, Pb__Member *, room);
    while (e == OK && (one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " ");
        if (*one != '\0')
            e = add_peer(r, one, why);
    }
    return e;
}

enum err roster_open(struct roster **out, struct loop *l, const struct roster_options *o,
                     struct reason *why)
{
    struct roster *r = xcalloc(1, sizeof(*r));
    r->loop = l;
    r->options = *o;
    r->arena = arena_new(MEMBERS_SIZE);
    r->spare = arena_new(MEMBERS_SIZE);
    r->given_arena = arena_new(MEMBERS_SIZE);
    pb__members__init(&r->given);
    enum err e = read_peers(r, why);
    if (e != OK) {
        roster_close(r);
        return e;
    }
    *out = r;
    if (o->gossip != NULL)
        ask(r);
    return OK;
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
    arena_free(r->given_arena);
    free(r->packed);
    free(r);
}

const char *roster_region(const struct roster *r)
{
    return r->options.region;
}

const Pb__Members *roster_members(const struct roster *r)
{
    return r->members != NULL ? r->members : &r->given;
}

bool roster_is_self(const struct roster *r, const Pb__Member *m)
{
    const char *self = roster_members(r)->self;
    if (self == NULL) /* gossip has not told */
        self = r->options.self_name;
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

const Pb__Member *roster_by_name(const struct roster *r, const char *name)
{
    const Pb__Members *all = roster_members(r);
    size_t len = strlen(name);
    for (size_t i = 0; i < all->n_members; i++) {
        const Pb__Member *m = all->members[i]; /* "NAME.REGION" */
        if (m->name != NULL && m->region != NULL && strcmp(m->region, r->options.region) == 0 &&
            (strcmp(m->name, name) == 0 ||
             (strncmp(m->name, name, len) == 0 && m->name[len] == '.' &&
              strcmp(m->name + len + 1, m->region) == 0)))
            return m;
    }
    return NULL;
}

bool roster_door(const struct roster *r, const Pb__Member *m, char out[256])
{
    const char *scheme = strncmp(r->options.listen_rpc, "tls+", 4) == 0 ? "tls+tcp://" : "tcp://";
    if (m->rpc_address != NULL && strstr(m->rpc_address, "://") != NULL)
        return snprintf(out, 256, "%s", m->rpc_address) < 256;
    struct place rpc = member_rpc(m);
    return snprintf(out, 256, "%s%s:%u", scheme, rpc.host, rpc.port) < 256;
}

bool roster_own_door(const struct roster *r, char out[256])
{
    const Pb__Members *all = roster_members(r);
    for (size_t i = 0; i < all->n_members; i++)
        if (roster_is_self(r, all->members[i]))
            return roster_door(r, all->members[i], out);
    return false;
}

size_t roster_doors(const struct roster *r, struct arena *a, char ***out)
{
    const Pb__Members *all = roster_members(r);
    char door[256];
    size_t n = 0;
    *out = arena_array(a, char *, all->n_members + 1);
    for (size_t i = 0; has_door(r) && i < all->n_members; i++)
        if (roster_is_up(all->members[i], r->options.region) &&
            roster_door(r, all->members[i], door))
            (*out)[n++] = arena_strdup(a, door);
    return n;
}
