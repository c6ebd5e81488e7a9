#include "feed/leadership.h"
#include "jobstore.pb-c.h"
#include "net/net.h"
#include <stdlib.h>

#define WAIT_MS      30000
#define SLACK_MS     5000
#define RETRY_MIN_MS 20
#define RETRY_MAX_MS 500

struct leadership {
    struct loop *loop;
    struct leadership_options options;
    struct client *client;
    struct timer again;
    uint32_t retry_ms;
    bool known, leading;
    uint64_t term, raft_id;
};

static void ask(void *owner);

static void ask_later(struct leadership *s)
{
    uint32_t wait = s->retry_ms / 2 + (uint32_t)(loop_random(s->loop) % (s->retry_ms / 2 + 1));
    s->retry_ms = s->retry_ms * 2 < RETRY_MAX_MS ? s->retry_ms * 2 : RETRY_MAX_MS;
    timer_arm(s->loop, &s->again, wait, ask, s);
}

static void on_status(void *owner, const struct response *r)
{
    struct leadership *s = owner;
    const Pb__JobstoreStatus *now = (const Pb__JobstoreStatus *)r->body;
    if (r->code != PB__REPLY__CODE__OK || now == NULL) {
        s->raft_id = 0; /* ask without waiting when it is back */
        ask_later(s);
        return;
    }
    bool lost = !s->known ? !now->leading : s->leading && (!now->leading || now->term != s->term);
    bool gained = now->leading && (!s->known || lost || !s->leading);
    s->known = true;
    s->leading = now->leading;
    s->term = now->term;
    s->raft_id = now->leader_raft_id;
    s->retry_ms = RETRY_MIN_MS;
    ask(s);
    if (lost)
        s->options.lost(s->options.self);
    if (gained)
        s->options.gained(s->options.self, now->term);
}

static void ask(void *owner)
{
    struct leadership *s = owner;
    Pb__StatusWait wait = PB__STATUS_WAIT__INIT;
    wait.has_term = wait.has_leader_raft_id = wait.has_leading = wait.has_wait_ms = true;
    wait.term = s->term;
    wait.leader_raft_id = s->raft_id;
    wait.leading = s->leading;
    wait.wait_ms = WAIT_MS;
    client_call(s->client, &(struct call_options){.method = PB__JOBSTORE__METHOD__STATUS,
                                                  .body = &wait.base,
                                                  .reply = &pb__jobstore_status__descriptor,
                                                  .budget_ms = WAIT_MS + SLACK_MS,
                                                  .done = on_status,
                                                  .owner = s});
}

enum err leadership_open(struct leadership **out, struct loop *l,
                         const struct leadership_options *o, struct reason *why)
{
    struct leadership *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->options = *o;
    s->retry_ms = RETRY_MIN_MS;
    enum err e = client_open(&s->client, l, o->jobstore_poll, why);
    if (e != OK) {
        free(s);
        return e;
    }
    *out = s;
    ask(s);
    return OK;
}

void leadership_close(struct leadership *s)
{
    if (s == NULL)
        return;
    timer_cancel(s->loop, &s->again);
    client_close(s->client); /* and with it the question */
    free(s);
}
