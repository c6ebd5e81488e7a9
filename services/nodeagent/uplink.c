#include "uplink.h"
#include "base/fault.h"
#include "base/log.h"
#include "command.pb-c.h"
#include <stdlib.h>
#include <string.h>

#define MAX_GATEWAYS   64
#define CALL_BUDGET_MS 5000
#define MOVE_BUDGET_MS 2000 /* where there is another server to go to */
#define POLL_WAIT_MS   30000
#define POLL_MIN_MS    1000
#define POLL_SLACK_MS  1000
#define COALESCE_MS    50
#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS  5000
#define DEFAULT_TTL_MS 10000
#define LEAST_TTL_MS   100
#define MOST_TTL_MS    3600000

/* Each of the three exchanges fails and recovers on its own. */
struct exchange {
    struct call *call; /* NULL: none under way */
    struct timer timer;
    uint32_t pause_ms; /* after the next failure */
};

/* A server that may be asked. */
struct gateway {
    char *address, *poll_address;
    struct client *client, *poll_client; /* NULL: not used yet */
};

struct uplink {
    struct loop *loop;
    struct uplink_options options;
    struct gateway gateways[MAX_GATEWAYS];
    size_t count, present;
    bool registered;
    uint32_t ttl_ms;
    uint64_t heard_ms; /* the last heartbeat that was answered, or our start */
    uint64_t since;
    /* News of an older state would lack what we run: that of a server which is behind looks as if
     * our newest allocations were gone. */
    uint64_t at_least;
    struct exchange beat; /* registration too */
    struct exchange poll;
    struct exchange report;
};

static void begin_beat(void *owner);
static void begin_poll(void *owner);
static void begin_report(void *owner);

/* Half as long as it could be at least, so that many agents do not come back at once. */
static uint32_t with_jitter(struct uplink *u, uint32_t ms)
{
    return ms / 2 + (uint32_t)(loop_random(u->loop) % (ms / 2 + 1));
}

static void pause_then(struct uplink *u, struct exchange *x, void (*then)(void *))
{
    if (x->pause_ms == 0)
        x->pause_ms = FIRST_PAUSE_MS;
    timer_arm(u->loop, &x->timer, with_jitter(u, x->pause_ms), then, u);
    x->pause_ms = x->pause_ms * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : x->pause_ms * 2;
}

/* ---- the servers */

static bool is_out_of_reach(const struct response *r)
{
    return r->code == PB__REPLY__CODE__TIMEOUT || r->code == PB__REPLY__CODE__UNAVAILABLE ||
           r->code == PB__REPLY__CODE__NOT_LEADER ||
           r->code == PB__REPLY__CODE__INTERNAL; /* it answers rubbish: another one may not */
}

static void cancel(struct exchange *x)
{
    call_cancel(x->call);
    x->call = NULL;
}

/* Everything goes to the next server now. What was under way and not acknowledged is said again
 * there. */
static void try_next_gateway(struct uplink *u)
{
    if (u->count == 1)
        return;
    u->present = (u->present + 1) % u->count;
    log_info("server_changed", "address=%s", u->gateways[u->present].address);
    if (u->poll.call != NULL) {
        cancel(&u->poll);
        timer_arm(u->loop, &u->poll.timer, 0, begin_poll, u);
    }
    if (u->report.call != NULL) {
        cancel(&u->report);
        u->options.sent(u->options.owner, false);
        timer_arm(u->loop, &u->report.timer, 0, begin_report, u);
    }
}

static bool knows(const struct uplink *u, const char *address)
{
    for (size_t i = 0; i < u->count; i++)
        if (strcmp(u->gateways[i].address, address) == 0)
            return true;
    return false;
}

static void add_gateway(struct uplink *u, const char *address, const char *poll_address)
{
    if (u->count == MAX_GATEWAYS)
        return;
    u->gateways[u->count++] =
        (struct gateway){.address = xstrdup(address), .poll_address = xstrdup(poll_address)};
}

/* Servers that come are remembered. Those that go stay: to ask one in vain costs little, to forget
 * the only one that comes back costs the node. */
static void learn_servers(struct uplink *u, const Pb__HeartbeatReply *reply)
{
    for (size_t i = 0; reply != NULL && i < reply->n_servers; i++)
        if (!knows(u, reply->servers[i]))
            add_gateway(u, reply->servers[i], reply->servers[i]);
}

/* A server that a server told of cannot be dialled: it is not asked, and the answer is the same as
 * from one that is gone. */
static struct client *open_client(struct uplink *u, struct client **c, const char *address)
{
    struct reason why;
    if (*c == NULL && client_open(c, u->loop, address, &why) != OK)
        log_warn("server_refused", "address=%s reason=%s", log_quote(address), log_quote(why.text));
    return *c;
}

static struct client *present_client(struct uplink *u)
{
    for (size_t tried = 0; tried < u->count; tried++) {
        struct gateway *g = &u->gateways[u->present];
        if (open_client(u, &g->client, g->address) != NULL &&
            open_client(u, &g->poll_client, g->poll_address) != NULL)
            break;
        u->present = (u->present + 1) % u->count;
    }
    return u->gateways[u->present].client; /* those we were started with can be dialled */
}

static uint32_t call_budget_ms(const struct uplink *u)
{
    return u->count > 1 ? MOVE_BUDGET_MS : CALL_BUDGET_MS;
}

/* With other servers to go to, one that hangs is to be noticed soon; but polls must not become more
 * work than heartbeats are, of which a larger fleet sends fewer. */
static uint32_t poll_wait_ms(const struct uplink *u)
{
    uint32_t ms = u->ttl_ms / 10;
    if (u->count == 1 || ms > POLL_WAIT_MS)
        return POLL_WAIT_MS;
    return ms < POLL_MIN_MS ? POLL_MIN_MS : ms;
}

static void register_again(struct uplink *u)
{
    if (!u->registered)
        return;
    u->registered = false;
    log_warn("registration_lost", "node=%s", log_id(u->options.node->id.data));
    if (u->beat.call == NULL)
        timer_arm(u->loop, &u->beat.timer, 0, begin_beat, u);
}

void uplink_node_changed(struct uplink *u)
{
    u->registered = false;
    cancel(&u->beat); /* it would be taken for a registration */
    timer_arm(u->loop, &u->beat.timer, 0, begin_beat, u);
}

/* ---- registration and heartbeat */

static uint32_t ttl_of(const Pb__HeartbeatReply *reply)
{
    uint32_t ms = reply != NULL && reply->ttl_ms > 0 ? reply->ttl_ms : DEFAULT_TTL_MS;
    return ms < LEAST_TTL_MS ? LEAST_TTL_MS : ms > MOST_TTL_MS ? MOST_TTL_MS : ms;
}

static void on_registered(struct uplink *u)
{
    u->registered = true;
    log_info("node_registered", "node=%s ttl_ms=%u", log_id(u->options.node->id.data), u->ttl_ms);
    if (u->poll.call == NULL)
        timer_arm(u->loop, &u->poll.timer, 0, begin_poll, u);
    uplink_report(u, true);
}

static void on_beat(void *owner, const struct response *r)
{
    struct uplink *u = owner;
    u->beat.call = NULL;
    if (r->code != PB__REPLY__CODE__OK) {
        if (r->code == PB__REPLY__CODE__NOT_FOUND)
            u->registered = false;
        if (u->beat.pause_ms == 0)
            log_warn("heartbeat_failed", "registered=%d reason=%s", u->registered,
                     log_quote(r->reason));
        if (is_out_of_reach(r))
            try_next_gateway(u);
        pause_then(u, &u->beat, begin_beat);
        return;
    }
    const Pb__HeartbeatReply *reply = (const Pb__HeartbeatReply *)r->body;
    u->beat.pause_ms = 0;
    u->heard_ms = loop_now_ms(u->loop);
    learn_servers(u, reply);
    u->ttl_ms = ttl_of(reply);
    if (!u->registered) {
        u->at_least = r->index;
        on_registered(u);
    }
    timer_arm(u->loop, &u->beat.timer, with_jitter(u, u->ttl_ms / 2), begin_beat, u);
}

static void begin_beat(void *owner)
{
    struct uplink *u = owner;
    Pb__Heartbeat beat = PB__HEARTBEAT__INIT;
    Pb__NodeRegister registration = PB__NODE_REGISTER__INIT;
    beat.has_node_id = beat.has_secret_id = true;
    beat.node_id = u->options.node->id;
    beat.secret_id = u->options.node->secret_id;
    registration.node = (Pb__Node *)(uintptr_t)u->options.node;
    const struct call_options o = {
        .method =
            u->registered ? PB__GATEWAY__METHOD__HEARTBEAT : PB__GATEWAY__METHOD__NODE_REGISTER,
        .body = u->registered ? &beat.base : &registration.base,
        .reply = &pb__heartbeat_reply__descriptor,
        .budget_ms = call_budget_ms(u),
        .retry = true,
        .done = on_beat,
        .owner = u,
    };
    u->beat.call = client_call(present_client(u), &o);
}

/* ---- news */

/* What is missing in a full list is killed. One that is older than what we have heard, or that does
 * not say how old it is, is no ground for that. Servers that lost their state say so when the node
 * registers. */
static void refuse_list(struct uplink *u, const Pb__NodeNews *news)
{
    log_warn("list_refused", "index=%llu at_least=%llu", (unsigned long long)news->index,
             (unsigned long long)u->at_least);
    register_again(u);
    pause_then(u, &u->poll, begin_poll);
}

static void on_poll(void *owner, const struct response *r)
{
    struct uplink *u = owner;
    u->poll.call = NULL;
    if (r->code == PB__REPLY__CODE__OK && r->body != NULL) {
        const Pb__NodeNews *news = (const Pb__NodeNews *)r->body;
        if (news->full && news->index < u->at_least) {
            refuse_list(u, news);
            return;
        }
        u->poll.pause_ms = 0;
        u->since = u->at_least = news->index;
        u->options.on_news(u->options.owner, news);
        begin_poll(u);
        return;
    }
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        register_again(u); /* on_registered polls again */
        return;
    }
    if (u->poll.pause_ms == 0 && r->code != PB__REPLY__CODE__TIMEOUT)
        log_warn("poll_failed", "reason=%s", log_quote(r->reason));
    if (is_out_of_reach(r) && u->count > 1) {
        cancel(&u->beat); /* it is at the same server */
        try_next_gateway(u);
        timer_arm(u->loop, &u->beat.timer, 0, begin_beat, u); /* is it any better? */
    }
    pause_then(u, &u->poll, begin_poll);
}

static void begin_poll(void *owner)
{
    struct uplink *u = owner;
    Pb__NodePoll poll = PB__NODE_POLL__INIT;
    if (u->poll.call != NULL || !u->registered)
        return;
    poll.has_node_id = poll.has_secret_id = poll.has_since = true;
    poll.has_wait_ms = poll.has_at_least = true;
    poll.node_id = u->options.node->id;
    poll.secret_id = u->options.node->secret_id;
    poll.since = u->since;
    poll.at_least = u->at_least;
    poll.wait_ms = poll_wait_ms(u);
    const struct call_options o = {
        .method = PB__GATEWAY__METHOD__NODE_POLL,
        .body = &poll.base,
        .reply = &pb__node_news__descriptor,
        .budget_ms = poll.wait_ms + (u->count > 1 ? POLL_SLACK_MS : CALL_BUDGET_MS),
        .done = on_poll,
        .owner = u,
    };
    present_client(u);
    u->poll.call = client_call(u->gateways[u->present].poll_client, &o);
}

void uplink_resync(struct uplink *u)
{
    u->since = 0;
    if (u->poll.call != NULL) {
        call_cancel(u->poll.call);
        u->poll.call = NULL;
    }
    pause_then(u, &u->poll, begin_poll);
}

void uplink_look_again(struct uplink *u, uint64_t index)
{
    if (u->at_least < index)
        u->at_least = index;
    uplink_resync(u);
}

uint64_t uplink_news_index(const struct uplink *u)
{
    return u->since;
}

/* ---- reports */

static void on_report(void *owner, const struct response *r)
{
    struct uplink *u = owner;
    bool acknowledged = r->code == PB__REPLY__CODE__OK || MUTANT("report-not-retried");
    u->report.call = NULL;
    u->options.sent(u->options.owner, acknowledged);
    if (acknowledged) {
        u->report.pause_ms = 0;
        begin_report(u); /* what has come up meanwhile */
        return;
    }
    if (r->code == PB__REPLY__CODE__NOT_FOUND) {
        register_again(u); /* on_registered reports again */
        return;
    }
    if (u->report.pause_ms == 0)
        log_warn("report_failed", "reason=%s", log_quote(r->reason));
    pause_then(u, &u->report, begin_report);
}

static void begin_report(void *owner)
{
    struct uplink *u = owner;
    if (u->report.call != NULL || !u->registered)
        return;
    timer_cancel(u->loop, &u->report.timer);
    struct arena *a = arena_new(64 << 20);
    Pb__AllocUpdates *updates = u->options.updates(u->options.owner, a);
    if (updates != NULL) {
        updates->has_node_id = updates->has_secret_id = true;
        updates->node_id = u->options.node->id;
        updates->secret_id = u->options.node->secret_id;
        const struct call_options o = {
            .method = PB__GATEWAY__METHOD__ALLOC_UPDATE,
            .body = &updates->base,
            .budget_ms = 2 * CALL_BUDGET_MS,
            .retry = true,
            .done = on_report,
            .owner = u,
        };
        u->report.call = client_call(present_client(u), &o);
    }
    arena_free(a);
}

void uplink_report(struct uplink *u, bool urgent)
{
    if (u->report.call != NULL || !u->registered || u->report.pause_ms > 0)
        return; /* it goes with the next one */
    if (urgent)
        timer_arm(u->loop, &u->report.timer, 0, begin_report, u);
    else if (!timer_is_armed(&u->report.timer))
        timer_arm(u->loop, &u->report.timer, COALESCE_MS, begin_report, u);
}

/* ---- beginning and end */

static size_t split(const char *text, char *out[MAX_GATEWAYS + 1])
{
    char *copy = xstrdup(text), *rest = copy, *one;
    size_t n = 0;
    while ((one = strsep(&rest, ", ")) != NULL)
        if (*one != '\0' && n <= MAX_GATEWAYS)
            out[n++] = xstrdup(one);
    free(copy);
    return n;
}

/* Those given are dialled at once, so that a mistake shows. */
static enum err add_gateways(struct uplink *u, const char *addresses, const char *polls,
                             struct reason *why)
{
    char *all[MAX_GATEWAYS + 1] = {0}, *all_polls[MAX_GATEWAYS + 1] = {0};
    size_t n = split(addresses, all), m = split(polls, all_polls);
    enum err e = OK;
    if (n == 0)
        e = reason_set(why, ERR_INVALID, "no gateway is given");
    else if (n > MAX_GATEWAYS)
        e = reason_set(why, ERR_INVALID, "more than %d gateways", MAX_GATEWAYS);
    else if (n != m)
        e = reason_set(why, ERR_INVALID, "gateway has %zu addresses, gateway_poll has %zu", n, m);
    for (size_t i = 0; e == OK && i < n; i++) {
        struct gateway *g = &u->gateways[u->count];
        add_gateway(u, all[i], all_polls[i]);
        e = client_open(&g->client, u->loop, g->address, why);
        if (e == OK)
            e = client_open(&g->poll_client, u->loop, g->poll_address, why);
    }
    for (size_t i = 0; i < n; i++)
        free(all[i]);
    for (size_t i = 0; i < m; i++)
        free(all_polls[i]);
    return e;
}

enum err uplink_open(struct uplink **out, struct loop *l, const struct uplink_options *o,
                     struct reason *why)
{
    struct uplink *u = xcalloc(1, sizeof *u);
    u->loop = l;
    u->options = *o;
    u->ttl_ms = DEFAULT_TTL_MS;
    bool doors = o->servers[0] != '\0';
    enum err e = add_gateways(u, doors ? o->servers : o->gateways,
                              doors ? o->servers : o->poll_gateways, why);
    if (e != OK) {
        uplink_close(u);
        return e;
    }
    *out = u;
    return OK;
}

void uplink_close(struct uplink *u)
{
    if (u == NULL)
        return;
    timer_cancel(u->loop, &u->beat.timer);
    timer_cancel(u->loop, &u->poll.timer);
    timer_cancel(u->loop, &u->report.timer);
    for (size_t i = 0; i < u->count; i++) {
        client_close(u->gateways[i].client);
        client_close(u->gateways[i].poll_client);
        free(u->gateways[i].address);
        free(u->gateways[i].poll_address);
    }
    free(u);
}

void uplink_start(struct uplink *u)
{
    begin_beat(u);
}

uint64_t uplink_silence_ms(const struct uplink *u)
{
    uint64_t now = loop_now_ms(u->loop), down = u->heard_ms + u->ttl_ms;
    return now > down ? now - down : 0;
}

bool uplink_is_registered(const struct uplink *u)
{
    return u->registered;
}

struct client *uplink_client(struct uplink *u)
{
    return present_client(u);
}
