#include "schedworker/where.h"
#include "base/log.h"
#include "gateway.pb-c.h"
#include "net/net.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SERVERS  64
#define WAIT_MS      2000 /* also how soon a server that hangs is noticed, with the slack */
#define SLACK_MS     1000
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000

struct where {
    struct loop *loop;
    struct where_options options;
    char *servers[MAX_SERVERS];
    size_t count, present;
    struct client *client; /* of servers[present] */
    struct client *left;   /* closed in the next turn: we may be in an answer of it */
    struct timer again;
    uint32_t retry_ms;
    uint64_t term;
    bool known, here;
    char address[256]; /* as told last */
    char door[256];    /* as told our owner last */
    bool told;
};

static void ask(void *owner);

static bool knows(const struct where *w, const char *server)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->servers[i], server) == 0)
            return true;
    return false;
}

static void add_server(struct where *w, const char *server)
{
    if (w->count < MAX_SERVERS && !knows(w, server))
        w->servers[w->count++] = xstrdup(server);
}

/* Those that are no longer told of stay: a server that is gone may come back, and costs a try. */
static void add_servers(struct where *w, const Pb__LeaderInfo *info)
{
    if (w->options.servers[0] == '\0')
        return;
    for (size_t i = 0; i < info->n_servers; i++)
        add_server(w, info->servers[i]);
}

static void tell(struct where *w, const Pb__LeaderInfo *info)
{
    bool own = info->here && w->options.servers[0] == '\0';
    if (!own && w->address[0] == '\0')
        return; /* nobody leads, or it is not said where: what we know is the best guess */
    const char *door = own ? "" : w->address;
    if (w->told && strcmp(door, w->door) == 0)
        return;
    w->told = true;
    memcpy(w->door, door, strlen(door) + 1);
    log_info("leader", "door=%s term=%llu", own ? "own" : door, (unsigned long long)w->term);
    w->options.moved(w->options.self, w->door);
}

static void close_left(struct where *w)
{
    client_close(w->left);
    w->left = NULL;
}

static void try_next(struct where *w)
{
    uint32_t pause = w->retry_ms / 2 + (uint32_t)(loop_random(w->loop) % (w->retry_ms / 2 + 1));
    w->retry_ms = w->retry_ms * 2 < RETRY_MAX_MS ? w->retry_ms * 2 : RETRY_MAX_MS;
    w->known = false;
    if (w->count > 1) {
        w->present = (w->present + 1) % w->count;
        close_left(w);
        w->left = w->client;
        w->client = NULL;
    }
    timer_arm(w->loop, &w->again, pause, ask, w);
}

static void on_info(void *owner, const struct response *r)
{
    struct where *w = owner;
    const Pb__LeaderInfo *info = (const Pb__LeaderInfo *)r->body;
    if (r->code != PB__REPLY__CODE__OK || info == NULL ||
        (info->address != NULL && strlen(info->address) >= sizeof(w->address))) {
        log_debug("leader_unknown", "server=%s reason=%s", w->servers[w->present],
                  log_quote(r->reason));
        try_next(w);
        return;
    }
    w->retry_ms = RETRY_MIN_MS;
    w->known = true;
    w->term = info->term;
    w->here = info->here;
    const char *address = info->address != NULL ? info->address : "";
    memcpy(w->address, address, strlen(address) + 1);
    add_servers(w, info);
    tell(w, info);
    ask(w);
}

static void ask(void *owner)
{
    struct where *w = owner;
    struct reason why;
    close_left(w);
    if (w->client == NULL && client_open(&w->client, w->loop, w->servers[w->present], &why) != OK) {
        log_warn("server_refused", "server=%s reason=%s", w->servers[w->present],
                 log_quote(why.text));
        try_next(w);
        return;
    }
    Pb__LeaderWait wait = PB__LEADER_WAIT__INIT;
    wait.has_term = wait.has_here = wait.has_wait_ms = true;
    wait.term = w->term;
    wait.here = w->here;
    wait.address = w->known ? w->address : NULL;
    wait.wait_ms = w->known ? WAIT_MS : 0;
    client_call(w->client, &(struct call_options){.method = PB__GATEWAY__METHOD__LEADER,
                                                  .body = &wait.base,
                                                  .reply = &pb__leader_info__descriptor,
                                                  .budget_ms = wait.wait_ms + SLACK_MS,
                                                  .done = on_info,
                                                  .owner = w});
}

enum err where_open(struct where **out, struct loop *l, const struct where_options *o,
                    struct reason *why)
{
    struct where *w = xcalloc(1, sizeof(*w));
    w->loop = l;
    w->options = *o;
    w->retry_ms = RETRY_MIN_MS;
    char *all = xstrdup(o->servers), *rest = all, *one;
    while ((one = strsep(&rest, ", ")) != NULL)
        if (*one != '\0')
            add_server(w, one);
    free(all);
    if (w->count == 0)
        add_server(w, o->gateway);
    enum err e = client_open(&w->client, l, w->servers[0], why);
    if (e != OK) {
        where_close(w);
        return e;
    }
    *out = w;
    ask(w);
    return OK;
}

void where_close(struct where *w)
{
    if (w == NULL)
        return;
    timer_cancel(w->loop, &w->again);
    close_left(w);
    client_close(w->client);
    for (size_t i = 0; i < w->count; i++)
        free(w->servers[i]);
    free(w);
}
