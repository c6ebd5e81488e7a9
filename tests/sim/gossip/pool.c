#include "pool.h"
#include "base/arena.h"
#include "base/map.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool_packet {
    uint64_t due_ms, order;
    int from, to;
    size_t len;
    uint8_t *bytes;
};

static bool before(const struct pool_packet *a, const struct pool_packet *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void swap(struct pool_packet *a, struct pool_packet *b)
{
    struct pool_packet t = *a;
    *a = *b;
    *b = t;
}

static void push(struct pool *p, struct pool_packet packet)
{
    if (p->packet_count == p->packet_room) {
        p->packet_room = p->packet_room == 0 ? 256 : 2 * p->packet_room;
        p->packets = xrealloc(p->packets, p->packet_room * sizeof(packet));
    }
    size_t i = p->packet_count++;
    p->packets[i] = packet;
    for (; i > 0 && before(&p->packets[i], &p->packets[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&p->packets[i], &p->packets[(i - 1) / 2]);
}

static struct pool_packet pop(struct pool *p)
{
    struct pool_packet first = p->packets[0];
    p->packets[0] = p->packets[--p->packet_count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < p->packet_count; c++)
            if (before(&p->packets[c], &p->packets[least]))
                least = c;
        if (least == i)
            return first;
        swap(&p->packets[i], &p->packets[least]);
        i = least;
    }
}

static void note(struct pool *p, const void *data, size_t len)
{
    p->trace = hash_bytes(data, len, p->trace ^ p->now_ms);
}

static int server_at(const struct pool *p, const char *address)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->servers[i].address, address) == 0)
            return i;
    return -1;
}

/* A few ms within a region, 40 to 60 between two. */
static uint64_t delay(struct pool *p, int from, int to)
{
    bool near = strcmp(p->servers[from].region, p->servers[to].region) == 0;
    return near ? 1 + prng_below(&p->prng, 4) : 40 + prng_below(&p->prng, 21);
}

static void send_packet(struct pool *p, int from, const struct swim_effect *e)
{
    int to = server_at(p, e->address);
    p->sent++;
    if (to < 0 || prng_unit(&p->prng) < p->loss)
        return;
    size_t len = pb__gossip_packet__get_packed_size(e->packet);
    uint8_t *bytes = xmalloc(len);
    pb__gossip_packet__pack(e->packet, bytes);
    note(p, bytes, len);
    push(p, (struct pool_packet){p->now_ms + delay(p, from, to), p->sent, from, to, len, bytes});
}

static void carry_out(struct pool *p, int i)
{
    struct pool_server *own = &p->servers[i];
    size_t n;
    const struct swim_effect *e = swim_effects(own->swim, &n);
    swim_check(own->swim);
    for (size_t k = 0; k < n; k++)
        switch (e[k].kind) {
        case SWIM_SEND:
            send_packet(p, i, &e[k]);
            break;
        case SWIM_STATUS:
            for (int j = 0; j < p->count; j++)
                if (strcmp(p->servers[j].name, e[k].member->name) == 0 && !p->servers[j].dead &&
                    p->servers[j].side == own->side &&
                    e[k].member->status == PB__MEMBER__STATUS__FAILED)
                    own->false_deaths++;
            break;
        case SWIM_CONFLICT:
            own->conflicts++;
            break;
        case SWIM_JOINED:
            own->joined++;
            break;
        case SWIM_ACCUSED:
            own->accused++;
            break;
        default:
            must(false);
        }
    swim_clear(own->swim);
}

static void deliver(struct pool *p, struct pool_packet *packet)
{
    struct pool_server *to = &p->servers[packet->to];
    struct reason why = {""};
    if (!to->dead && p->servers[packet->from].side == to->side) {
        struct arena *a = arena_new(64u << 20);
        const Pb__GossipPacket *m =
            WIRE_UNPACK(a, Pb__GossipPacket, pb__gossip_packet, packet->bytes, packet->len);
        must(m != NULL && swim_packet(to->swim, m, p->now_ms, &why));
        arena_free(a);
        carry_out(p, packet->to);
    }
    free(packet->bytes);
}

void pool_start(struct pool *p, int i, const char *name)
{
    static const char *const regions[] = {"eu", "us", "asia"};
    struct pool_server *own = &p->servers[i];
    swim_free(own->swim);
    snprintf(own->region, sizeof own->region, "%s", regions[i % 3]);
    if (name != NULL)
        snprintf(own->name, sizeof own->name, "%s", name);
    else
        snprintf(own->name, sizeof own->name, "s%d.%s", i, regions[i % 3]);
    snprintf(own->address, sizeof own->address, "10.0.0.%d:4648", i);
    own->dead = own->left = false;
    for (int k = 0; k < 16; k += 8) {
        uint64_t r = prng_next(&p->prng);
        memcpy(own->id + k, &r, 8);
    }
    Pb__Member self = PB__MEMBER__INIT;
    self.name = own->name;
    self.region = own->region;
    self.gossip_address = own->address;
    self.has_id = 1;
    self.id = (ProtobufCBinaryData){16, own->id};
    own->swim =
        swim_new(&self, &(struct swim_options){.seed = prng_next(&p->prng), .reap_ms = p->reap_ms},
                 p->now_ms);
    if (i > 0)
        swim_join(own->swim, p->servers[0].address, p->now_ms);
    carry_out(p, i);
}

struct pool *pool_new(uint64_t seed, int count)
{
    return pool_new_with(seed, count, 0);
}

struct pool *pool_new_with(uint64_t seed, int count, uint64_t reap_ms)
{
    struct pool *p = xcalloc(1, sizeof *p);
    p->seed = seed;
    p->reap_ms = reap_ms;
    p->now_ms = 1000;
    prng_seed(&p->prng, seed);
    p->count = count;
    for (int i = 0; i < count; i++)
        pool_start(p, i, NULL);
    return p;
}

void pool_free(struct pool *p)
{
    for (int i = 0; i < p->count; i++)
        swim_free(p->servers[i].swim);
    while (p->packet_count > 0)
        free(pop(p).bytes);
    free(p->packets);
    free(p);
}

static uint64_t due_of(const struct pool_server *own)
{
    uint64_t due = own->dead ? UINT64_MAX : swim_next_ms(own->swim);
    return due < own->paused_until_ms ? own->paused_until_ms : due;
}

/* One event: the earliest. A server that stands still gets its packets when it goes on, behind its
 * timers, as a process does. */
static void step(struct pool *p, uint64_t end_ms)
{
    int who = -1;
    uint64_t due = end_ms;
    for (int i = 0; i < p->count; i++)
        if (due_of(&p->servers[i]) < due) {
            due = due_of(&p->servers[i]);
            who = i;
        }
    if (p->packet_count > 0 && p->packets[0].due_ms < due) {
        struct pool_packet packet = pop(p);
        uint64_t until = p->servers[packet.to].paused_until_ms;
        if (packet.due_ms > p->now_ms)
            p->now_ms = packet.due_ms;
        if (until > p->now_ms) {
            packet.due_ms = until + 1;
            push(p, packet);
        } else
            deliver(p, &packet);
        return;
    }
    if (due > p->now_ms)
        p->now_ms = due;
    if (who < 0)
        return;
    swim_tick(p->servers[who].swim, p->now_ms);
    carry_out(p, who);
}

void pool_run(struct pool *p, uint64_t ms)
{
    uint64_t end = p->now_ms + ms;
    while (p->now_ms < end)
        step(p, end);
}

uint64_t pool_until(struct pool *p, uint64_t most_ms, bool (*done)(struct pool *p, int arg),
                    int arg)
{
    uint64_t begun = p->now_ms;
    while (!done(p, arg)) {
        if (p->now_ms >= begun + most_ms)
            return UINT64_MAX;
        pool_run(p, 20);
    }
    return p->now_ms - begun;
}

Pb__Member__Status pool_sees(struct pool *p, int viewer, const char *name)
{
    const Pb__Members *all = swim_members(p->servers[viewer].swim);
    for (size_t i = 0; i < all->n_members; i++)
        if (strcmp(all->members[i]->name, name) == 0)
            return all->members[i]->status;
    return PB__MEMBER__STATUS__NONE;
}

static bool all_see(struct pool *p, int who, Pb__Member__Status status)
{
    for (int i = 0; i < p->count; i++)
        if (i != who && !p->servers[i].dead && !p->servers[i].left &&
            pool_sees(p, i, p->servers[who].name) != status)
            return false;
    return true;
}

bool pool_is_whole(struct pool *p, int unused)
{
    for (int i = 0; i < p->count; i++)
        if (!p->servers[i].dead && !p->servers[i].left && !all_see(p, i, PB__MEMBER__STATUS__ALIVE))
            return false;
    return true;
}

bool pool_all_see_failed(struct pool *p, int who)
{
    return all_see(p, who, PB__MEMBER__STATUS__FAILED);
}

bool pool_all_see_left(struct pool *p, int who)
{
    return all_see(p, who, PB__MEMBER__STATUS__LEFT);
}

uint32_t pool_false_deaths(const struct pool *p)
{
    uint32_t n = 0;
    for (int i = 0; i < p->count; i++)
        n += p->servers[i].false_deaths;
    return n;
}
