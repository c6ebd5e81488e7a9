#include "gossip.h"
#include "net/tls.h"
#include <stdlib.h>
#include <string.h>

#define MOST_WAITING   64u
#define MOST_WAIT_MS   60000u
#define MOST_JOININGS  16u
#define MOST_ADDRESSES 16u
#define JOIN_MS        3000u
#define TELL_MS        10000u
#define GOSSIP_PORT    "4648"

/* ---- members */

struct waiting {
    struct link link;
    struct gossip *gossip;
    struct request *request;
    uint64_t seen;
    struct timer over;
};

static void waiting_free(struct waiting *w)
{
    timer_cancel(w->gossip->loop, &w->over);
    list_remove(&w->link);
    w->gossip->waiting_count--;
    free(w);
}

static void waiting_answer(void *owner)
{
    struct waiting *w = owner;
    struct gossip *g = w->gossip;
    struct request *req = w->request;
    waiting_free(w);
    request_reply(req, &swim_members(g->swim)->base, 0);
}

static void waiting_gone(void *owner, struct request *req)
{
    waiting_free(owner);
}

void requests_news(struct gossip *g)
{
    struct waiting *w;
    uint64_t index = swim_index(g->swim);
    list_each(&g->waiting, struct waiting, link, w) if (w->seen != index) waiting_answer(w);
}

static void on_members(void *self, struct request *req)
{
    struct gossip *g = self;
    const Pb__MembersWait *ask = (const Pb__MembersWait *)request_body(req);
    if (ask->wait_ms == 0 || ask->seen != swim_index(g->swim)) {
        request_reply(req, &swim_members(g->swim)->base, 0);
        return;
    }
    if (g->waiting_count >= MOST_WAITING) {
        request_fail(req, PB__REPLY__CODE__BUSY, "%u wait for news of the members already",
                     MOST_WAITING);
        return;
    }
    struct waiting *w = xcalloc(1, sizeof *w);
    w->gossip = g;
    w->request = req;
    w->seen = ask->seen;
    list_push_back(&g->waiting, &w->link);
    g->waiting_count++;
    timer_arm(g->loop, &w->over, ask->wait_ms < MOST_WAIT_MS ? ask->wait_ms : MOST_WAIT_MS,
              waiting_answer, w);
    request_park(req, waiting_gone, w);
}

/* ---- join */

struct joining {
    struct link link;
    struct gossip *gossip;
    struct request *request;
    struct timer over;
    size_t count, joined;
    struct {
        char *address; /* in the request's arena */
        uint64_t sequence;
        bool joined;
    } at[MOST_ADDRESSES];
};

static void joining_free(struct joining *j)
{
    timer_cancel(j->gossip->loop, &j->over);
    list_remove(&j->link);
    j->gossip->joining_count--;
    free(j);
}

static void joining_gone(void *owner, struct request *req)
{
    joining_free(owner);
}

static const char *why_not(const struct gossip *g, const char *address)
{
    if (g->courier == NULL)
        return "this server is alone: gossip's listen_gossip is not set";
    const char *reason = courier_reason(g->courier, address);
    return reason[0] != '\0' ? reason : "no answer; is it the gossip address of a server?";
}

static void joining_answer(void *owner)
{
    struct joining *j = owner;
    struct request *req = j->request;
    struct arena *a = request_arena(req);
    Pb__GossipJoined answer = PB__GOSSIP_JOINED__INIT;
    answer.has_joined = 1;
    answer.joined = (uint32_t)j->joined;
    answer.failures = arena_array(a, Pb__GossipJoined__Failure *, j->count);
    for (size_t i = 0; i < j->count; i++) {
        if (j->at[i].joined)
            continue;
        Pb__GossipJoined__Failure *f = arena_alloc(a, sizeof *f);
        pb__gossip_joined__failure__init(f);
        f->address = j->at[i].address;
        f->reason = arena_strdup(a, why_not(j->gossip, j->at[i].address));
        answer.failures[answer.n_failures++] = f;
    }
    joining_free(j);
    request_reply(req, &answer.base, 0);
}

void requests_joined(struct gossip *g, uint64_t sequence)
{
    struct joining *j;
    list_each(&g->joinings, struct joining, link, j)
    {
        for (size_t i = 0; i < j->count; i++)
            if (!j->at[i].joined && j->at[i].sequence == sequence) {
                j->at[i].joined = true;
                j->joined++;
            }
        if (j->joined == j->count)
            timer_arm(g->loop, &j->over, 0, joining_answer, j);
    }
}

/* "10.0.0.1" is its gossip's usual port. */
static char *with_port(struct arena *a, const char *address)
{
    const char *colon = strrchr(address, ':'), *bracket = strrchr(address, ']');
    bool has = colon != NULL && (bracket == NULL || colon > bracket);
    return has ? arena_strdup(a, address) : arena_printf(a, "%s:" GOSSIP_PORT, address);
}

static void join_one(struct joining *j, const char *address)
{
    struct gossip *g = j->gossip;
    size_t i = j->count++;
    j->at[i].address = with_port(request_arena(j->request), address);
    if (strcmp(j->at[i].address, g->own_address) == 0) {
        j->at[i].joined = true; /* to find oneself is easy */
        j->joined++;
    } else if (g->courier != NULL)
        j->at[i].sequence = swim_join(g->swim, j->at[i].address, loop_now_ms(g->loop));
}

static void on_join(void *self, struct request *req)
{
    struct gossip *g = self;
    const Pb__GossipJoin *ask = (const Pb__GossipJoin *)request_body(req);
    if (ask->n_addresses == 0 || ask->n_addresses > MOST_ADDRESSES) {
        request_fail(req, PB__REPLY__CODE__INVALID, "%zu addresses to join: 1 to %u are possible",
                     ask->n_addresses, MOST_ADDRESSES);
        return;
    }
    if (g->joining_count >= MOST_JOININGS) {
        request_fail(req, PB__REPLY__CODE__BUSY, "%u are joining already", MOST_JOININGS);
        return;
    }
    struct joining *j = xcalloc(1, sizeof *j);
    j->gossip = g;
    j->request = req;
    list_push_back(&g->joinings, &j->link);
    g->joining_count++;
    request_park(req, joining_gone, j);
    for (size_t i = 0; i < ask->n_addresses; i++)
        join_one(j, ask->addresses[i]);
    bool over = j->joined == j->count || g->courier == NULL;
    timer_arm(g->loop, &j->over, over ? 0 : JOIN_MS, joining_answer, j);
    gossip_settle(g);
}

/* ---- leave */

static void on_force_leave(void *self, struct request *req)
{
    struct gossip *g = self;
    const Pb__GossipForceLeave *ask = (const Pb__GossipForceLeave *)request_body(req);
    struct reason why;
    enum err e =
        swim_force_leave(g->swim, ask->name == NULL ? "" : ask->name, loop_now_ms(g->loop), &why);
    if (e == OK)
        request_reply(req, NULL, 0);
    else
        request_fail(req,
                     e == ERR_NOT_FOUND ? PB__REPLY__CODE__NOT_FOUND : PB__REPLY__CODE__INVALID,
                     "%s", why.text);
    gossip_settle(g);
}

static void on_leave(void *self, struct request *req)
{
    struct gossip *g = self;
    swim_leave(g->swim, loop_now_ms(g->loop));
    request_reply(req, NULL, 0);
    gossip_settle(g);
}

const struct method gossip_methods[] = {
    {PB__GOSSIP__METHOD__MEMBERS, "members", &pb__members_wait__descriptor, on_members},
    {PB__GOSSIP__METHOD__JOIN, "join", &pb__gossip_join__descriptor, on_join},
    {PB__GOSSIP__METHOD__FORCE_LEAVE, "force-leave", &pb__gossip_force_leave__descriptor,
     on_force_leave},
    {PB__GOSSIP__METHOD__LEAVE, "leave", &pb__empty__descriptor, on_leave},
    DAEMON_METHODS,
    {0, NULL, NULL, NULL},
};

/* ---- other servers */

/* Its certificate tells the region of a server; a name of another region is not its own. */
static bool is_of_its_region(struct request *req, const Pb__GossipPacket *p, struct reason *why)
{
    const char *region = request_peer_region(req);
    const char *dot = p->from == NULL ? NULL : strrchr(p->from, '.');
    if (region[0] == '\0' || (dot != NULL && strcmp(dot + 1, region) == 0))
        return true;
    reason_set(why, ERR_DENIED,
               "a server with a certificate of region %s calls itself %s: its settings name "
               "another region than its certificate",
               region, p->from == NULL ? "nothing" : p->from);
    return false;
}

static void refuse(struct gossip *g, struct request *req, const char *why)
{
    uint64_t now = loop_now_ms(g->loop);
    g->refused++;
    if (g->told_refused_ms == 0 || now >= g->told_refused_ms + TELL_MS) {
        g->told_refused_ms = now;
        log_warn("packet_refused", "peer=%s refused=%llu reason=%s",
                 log_quote(request_peer_name(req)), (unsigned long long)g->refused, log_quote(why));
    }
    request_fail(req, PB__REPLY__CODE__INVALID, "%s", why);
}

/* The answer that the core wants sent to where the question came from goes back as the reply. */
static const Pb__GossipPacket *answer_to(const struct gossip *g, const Pb__GossipPacket *p)
{
    size_t n;
    const struct swim_effect *e = swim_effects(g->swim, &n);
    for (size_t i = 0; i < n; i++)
        if (e[i].kind == SWIM_SEND && strcmp(e[i].address, p->from_address) == 0 &&
            (e[i].packet->kind == PB__GOSSIP_PACKET__KIND__ACK ||
             e[i].packet->kind == PB__GOSSIP_PACKET__KIND__SYNC_REPLY) &&
            e[i].packet->sequence == p->sequence)
            return e[i].packet;
    return NULL;
}

static void on_packet(void *self, struct request *req)
{
    struct gossip *g = self;
    const Pb__GossipPacket *p = (const Pb__GossipPacket *)request_body(req);
    struct reason why = {""};
    if (!is_of_its_region(req, p, &why) || !swim_packet(g->swim, p, loop_now_ms(g->loop), &why)) {
        refuse(g, req, why.text);
        return;
    }
    courier_hurry(g->courier, p->from_address);
    const Pb__GossipPacket *answer = answer_to(g, p);
    gossip_carry_out(g, answer);
    request_reply(req, answer == NULL ? NULL : &answer->base, 0);
    swim_clear(g->swim);
    gossip_settle(g);
}

const struct method gossip_pool_methods[] = {
    {PB__GOSSIP__METHOD__PACKET, "packet", &pb__gossip_packet__descriptor, on_packet},
    {0, NULL, NULL, NULL},
};

void requests_close(struct gossip *g)
{
    struct waiting *w;
    struct joining *j;
    list_each(&g->waiting, struct waiting, link, w) waiting_answer(w);
    list_each(&g->joinings, struct joining, link, j) joining_answer(j);
}
