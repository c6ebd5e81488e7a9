#include "gossip.h"
#include "net/tls.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_MS    1000u
#define LOOK_MS     50u
#define REJOIN_MS   1000u
#define REJOIN_MOST 30000u

enum { MEMBERS, FAILED, LEFT, REFUSED, DROPPED, ACCUSED, CONFLICTS, HEALTH };
static struct metric metrics[] = {
    [MEMBERS] = {"gossip.members", PB__METRIC__KIND__GAUGE, "servers known, in every region", 0, 0,
                 0, 0},
    [FAILED] = {"gossip.failed", PB__METRIC__KIND__GAUGE, "servers out of reach", 0, 0, 0, 0},
    [LEFT] = {"gossip.left", PB__METRIC__KIND__GAUGE, "servers that left on purpose", 0, 0, 0, 0},
    [REFUSED] = {"gossip.refused", PB__METRIC__KIND__COUNTER, "packets refused", 0, 0, 0, 0},
    [DROPPED] = {"gossip.dropped", PB__METRIC__KIND__COUNTER,
                 "packets not sent: too many under way to one server", 0, 0, 0, 0},
    [ACCUSED] = {"gossip.accused", PB__METRIC__KIND__COUNTER,
                 "rumours that this server was gone, contradicted", 0, 0, 0, 0},
    [CONFLICTS] = {"gossip.conflicts", PB__METRIC__KIND__COUNTER,
                   "times that two servers of one name were seen", 0, 0, 0, 0},
    [HEALTH] = {"gossip.health", PB__METRIC__KIND__GAUGE,
                "0: this server is well; up to 8: slow, it doubts others more slowly", 0, 0, 0, 0},
};

static size_t count_of(const Pb__Members *all, Pb__Member__Status status)
{
    size_t n = 0;
    for (size_t i = 0; i < all->n_members; i++)
        n += all->members[i]->status == status;
    return n;
}

struct metric *gossip_metrics(void *self, size_t *count)
{
    const struct gossip *g = self;
    const Pb__Members *all = swim_members(g->swim);
    metric_set(&metrics[MEMBERS], (double)all->n_members);
    metric_set(&metrics[FAILED], (double)count_of(all, PB__MEMBER__STATUS__FAILED));
    metric_set(&metrics[LEFT], (double)count_of(all, PB__MEMBER__STATUS__LEFT));
    metric_set(&metrics[REFUSED], (double)g->refused);
    metric_set(&metrics[DROPPED], g->courier == NULL ? 0 : (double)courier_dropped(g->courier));
    metric_set(&metrics[ACCUSED], (double)g->accused);
    metric_set(&metrics[CONFLICTS], (double)g->conflicts);
    metric_set(&metrics[HEALTH], swim_health(g->swim));
    *count = COUNT_OF(metrics);
    return metrics;
}

/* ---- effects */

static void tell_status(const struct swim_effect *e)
{
    static const char *const names[] = {"none", "alive", "suspect", "left", "failed"};
    const Pb__Member *m = e->member;
    enum log_level level = LOG_INFO;
    if (m->status == PB__MEMBER__STATUS__FAILED)
        level = LOG_WARN;
    if (m->status == PB__MEMBER__STATUS__SUSPECT || e->was == PB__MEMBER__STATUS__SUSPECT)
        level = m->status == PB__MEMBER__STATUS__FAILED ? LOG_WARN : LOG_DEBUG;
    if (log_enabled(level))
        log_line(level, "member", "member=%s address=%s status=%s was=%s", log_quote(m->name),
                 log_quote(m->gossip_address), names[m->status], names[e->was]);
}

static void tell_conflict(const struct gossip *g, const struct swim_effect *e)
{
    bool ours = strcmp(e->member->name, g->full_name) == 0;
    log_error("two_servers_of_one_name", "member=%s address=%s other=%s reason=%s",
              log_quote(e->member->name), log_quote(e->member->gossip_address),
              log_quote(e->address),
              log_quote(ours ? "another server has this server's name: set another name in one of "
                               "the two, and start it again; until then others know only one"
                             : "give one of the two another name, and start it again; until then "
                               "the first is known"));
}

void gossip_carry_out(struct gossip *g, const Pb__GossipPacket *answer)
{
    size_t n;
    const struct swim_effect *e = swim_effects(g->swim, &n);
    for (size_t i = 0; i < n; i++)
        switch (e[i].kind) {
        case SWIM_SEND:
            if (e[i].packet != answer && g->courier != NULL)
                courier_send(g->courier, e[i].address, e[i].packet);
            break;
        case SWIM_STATUS:
            tell_status(&e[i]);
            break;
        case SWIM_ACCUSED:
            g->accused++;
            break;
        case SWIM_CONFLICT:
            g->conflicts++;
            tell_conflict(g, &e[i]);
            break;
        case SWIM_JOINED:
            requests_joined(g, e[i].sequence);
            break;
        case SWIM_FULL:
            log_warn("too_many_members", "member=%s most=%u", log_quote(e[i].member->name),
                     SWIM_MAX_MEMBERS);
            break;
        }
}

static void on_tick(void *self)
{
    struct gossip *g = self;
    swim_tick(g->swim, loop_now_ms(g->loop));
    gossip_settle(g);
}

void gossip_settle(struct gossip *g)
{
    gossip_carry_out(g, NULL);
    swim_clear(g->swim);
    requests_news(g);
    if (g->courier == NULL)
        return; /* alone: nothing ever happens */
    uint64_t now = loop_now_ms(g->loop), next = swim_next_ms(g->swim);
    timer_arm(g->loop, &g->tick, next > now ? next - now : 0, on_tick, g);
}

static void on_answered(void *self, const Pb__GossipPacket *p)
{
    struct gossip *g = self;
    struct reason why;
    if (!swim_packet(g->swim, p, loop_now_ms(g->loop), &why)) {
        g->refused++;
        log_warn("answer_refused", "refused=%" PRIu64 " reason=%s", g->refused,
                 log_quote(why.text));
    }
    gossip_settle(g);
}

/* ---- joining by itself */

static bool knows_others(struct gossip *g)
{
    const Pb__Members *all = swim_members(g->swim);
    for (size_t i = 0; i < all->n_members; i++)
        if (strcmp(all->members[i]->name, g->full_name) != 0 &&
            (all->members[i]->status == PB__MEMBER__STATUS__ALIVE ||
             all->members[i]->status == PB__MEMBER__STATUS__SUSPECT))
            return true;
    return false;
}

/* All of the list, again and again, as long as nobody is there. */
static void on_rejoin(void *self)
{
    struct gossip *g = self;
    char *list = xstrdup(g->join), *rest = list, *one;
    bool together = knows_others(g);
    g->rejoin_delay_ms = together ? REJOIN_MS : 2 * g->rejoin_delay_ms;
    if (g->rejoin_delay_ms > REJOIN_MOST)
        g->rejoin_delay_ms = REJOIN_MOST;
    while (!together && (one = strsep(&rest, ",")) != NULL)
        if (one[0] != '\0' && strcmp(one, g->own_address) != 0)
            swim_join(g->swim, one, loop_now_ms(g->loop));
    free(list);
    timer_arm(g->loop, &g->rejoin,
              g->rejoin_delay_ms / 2 + loop_random(g->loop) % g->rejoin_delay_ms, on_rejoin, g);
    gossip_settle(g);
}

/* ---- life */

static void take_name(struct gossip *g)
{
    char host[200] = "localhost";
    if (g->name[0] != '\0')
        snprintf(host, sizeof host, "%s", g->name);
    else if (gethostname(host, sizeof(host) - 1) != 0)
        snprintf(host, sizeof host, "localhost");
    snprintf(g->full_name, sizeof g->full_name, "%.190s.%.60s", host, g->region);
    if (g->advertise_gossip[0] != '\0')
        snprintf(g->own_address, sizeof g->own_address, "%s", g->advertise_gossip);
    else
        snprintf(g->own_address, sizeof g->own_address, "%.200s:%" PRIu64, g->address,
                 g->gossip_port);
}

static enum err pool_open(struct gossip *g, struct reason *why)
{
    enum err e = server_open(&g->gossip_server, g->loop, g->listen_gossip,
                             &(struct server_options){.methods = gossip_pool_methods,
                                                      .self = g,
                                                      .max_message = SWIM_MAX_PACKET,
                                                      .peers = PEER_SERVER | PEER_FOREIGN_SERVER},
                             why);
    if (e == OK && g->jobstore[0] != '\0')
        e = client_open(&g->jobstore_client, g->loop, g->jobstore, why);
    if (e == OK)
        g->courier = courier_open(g->loop, &(struct courier_options){.listen = g->listen_gossip,
                                                                     .self = g,
                                                                     .answered = on_answered});
    return e;
}

enum err gossip_open(void *self, struct loop *l, struct reason *why)
{
    struct gossip *g = self;
    Pb__Member member;
    g->loop = l;
    g->id = id_new();
    list_init(&g->waiting);
    list_init(&g->joinings);
    take_name(g);
    enum err e = identity_check(g, why);
    if (e != OK)
        return e;
    identity_make(g, &member);
    g->swim = swim_new(&member,
                       &(struct swim_options){.probe_ms = (uint32_t)g->probe_ms,
                                              .reap_ms = g->reap_ms,
                                              .seed = loop_random(l)},
                       loop_now_ms(l));
    e = server_open(&g->server, l, g->listen,
                    &(struct server_options){.methods = gossip_methods, .self = g}, why);
    if (e == OK && g->listen_gossip[0] != '\0')
        e = pool_open(g, why);
    return e;
}

enum err gossip_start(void *self, struct loop *l, struct reason *why)
{
    struct gossip *g = self;
    g->rejoin_delay_ms = REJOIN_MS / 4;
    if (g->courier != NULL && g->join[0] != '\0')
        on_rejoin(g);
    else if (g->join[0] != '\0')
        log_warn("join_ignored", "reason=%s",
                 log_quote("join is set, but listen_gossip is not: this server stays alone"));
    if (g->jobstore_client != NULL)
        identity_ask(g);
    gossip_settle(g);
    return OK;
}

static void on_left(void *self)
{
    struct gossip *g = self;
    if (!swim_has_left(g->swim) && loop_now_ms(g->loop) < g->drain_until_ms) {
        timer_arm(g->loop, &g->left, LOOK_MS, on_left, g);
        return;
    }
    g->drained(g->drained_arg);
}

void gossip_drain(void *self, void (*drained)(void *arg), void *arg)
{
    struct gossip *g = self;
    g->drained = drained;
    g->drained_arg = arg;
    g->drain_until_ms = loop_now_ms(g->loop) + DRAIN_MS;
    timer_cancel(g->loop, &g->rejoin);
    swim_leave(g->swim, loop_now_ms(g->loop));
    gossip_settle(g);
    on_left(g);
}

void gossip_close(void *self)
{
    struct gossip *g = self;
    struct timer *timers[] = {&g->tick, &g->rejoin, &g->identity, &g->left};
    for (size_t i = 0; i < COUNT_OF(timers); i++)
        timer_cancel(g->loop, timers[i]);
    if (g->swim != NULL)
        requests_close(g);
    server_close(g->server);
    server_close(g->gossip_server);
    courier_close(g->courier);
    if (g->jobstore_client != NULL)
        client_close(g->jobstore_client);
    swim_free(g->swim);
}

void gossip_summary(void *self)
{
    const struct gossip *g = self;
    const Pb__Members *all = swim_members(g->swim);
    log_info("summary", "members=%zu failed=%zu left=%zu health=%u refused=%" PRIu64,
             all->n_members, count_of(all, PB__MEMBER__STATUS__FAILED),
             count_of(all, PB__MEMBER__STATUS__LEFT), swim_health(g->swim), g->refused);
}
