#include "leader.h"
#include "base/log.h"
#include "jobstore.pb-c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_WAIT_MS    1000u /* also how soon a jobstore that hangs is noticed, with the slack */
#define STATUS_SLACK_MS   500u
#define STATUS_RETRY_MS   50u
#define TRY_AGAIN_MS      20u   /* after a refusal, and a little more */
#define GUESS_MS          1000u /* for a server of which we do not know that it leads */
#define DEFAULT_BUDGET_MS 5000u
#define UNAVAILABLE_MOST  25

#define DOORS_MOST 8u

/* The door of a server, opened when it is first needed. It stays open when another leads:
 * leadership comes back, and nng may hang where a socket is closed that has work (nng issue 1543).
 */
struct door {
    struct link link; /* in doors or closing */
    char address[256];
    struct client *clients[LEADER_SERVICES];
};

struct leader {
    struct loop *loop;
    struct leader_options options;
    struct client *poll;
    struct call *status_call;
    struct timer status_again;
    bool asked, answers; /* jobstore has ever told, and tells now */
    bool leading;
    uint64_t term, raft_id, own_raft_id;
    char name[256];                     /* of the leader, as jobstore has it; "": not told */
    uint64_t contact_ms, contact_at_ms; /* as told, and when */
    struct door *door;                  /* of the leader, or of one that might be; NULL: none */
    size_t guess;                       /* which member was tried last */
    struct link doors;                  /* struct door, the oldest in front */
    size_t door_count;
    struct link closing; /* struct door */
    struct timer reap;
    struct link calls; /* struct leader_call */
};

struct leader_call {
    struct link link;
    struct leader *leader;
    Pb__Service__Name service;
    struct call_options options; /* of each try */
    ProtobufCBinaryData body;    /* packed; ours */
    response_fn *done;
    void *owner;
    uint8_t id[ID_SIZE];
    uint64_t until_ms;
    uint32_t budget_ms;
    unsigned unavailable; /* how often a door said so */
    bool lost;            /* its server is no longer asked, and it must not be sent twice */
    struct client *at;    /* whom it was sent to; NULL: it waits */
    struct call *call;
    struct timer again;
};

static void try_now(void *owner);

/* ---- doors */

static void door_free(struct door *d)
{
    list_remove(&d->link);
    for (size_t i = 0; i < COUNT_OF(d->clients); i++)
        client_close(d->clients[i]);
    free(d);
}

static void on_reap(void *owner)
{
    struct leader *s = owner;
    struct door *d;
    list_each(&s->closing, struct door, link, d)
    {
        door_free(d);
    }
}

/* Not at once: we may be in an answer that came through it. */
static void drop_oldest(struct leader *s)
{
    struct door *d = list_first(&s->doors, struct door, link);
    list_remove(&d->link);
    s->door_count--;
    list_push_back(&s->closing, &d->link);
    timer_arm(s->loop, &s->reap, 0, on_reap, s);
}

static struct door *door_to(struct leader *s, const char *address)
{
    struct door *d;
    list_each(&s->doors, struct door, link, d)
    {
        if (strcmp(d->address, address) == 0)
            return d;
    }
    if (s->door_count == DOORS_MOST)
        drop_oldest(s);
    s->door_count++;
    d = xcalloc(1, sizeof(*d));
    snprintf(d->address, sizeof(d->address), "%s", address);
    list_push_back(&s->doors, &d->link);
    return d;
}

static void door_set(struct leader *s, const char *address)
{
    if (s->door != NULL && strcmp(s->door->address, address) == 0)
        return;
    s->door = door_to(s, address);
}

static struct client *door_client(struct leader *s, Pb__Service__Name service)
{
    struct door *d = s->door;
    struct reason why;
    if (d == NULL)
        return NULL;
    if (d->clients[service] == NULL &&
        client_open(&d->clients[service], s->loop, d->address, &why) != OK)
        log_warn("door_refused", "address=%s reason=%s", d->address, log_quote(why.text));
    return d->clients[service];
}

/* ---- where the leader is */

static bool is_here(const struct leader *s)
{
    return s->answers ? s->leading : !s->asked;
}

/* While our own jobstore is silent any other server may know more: they are tried in turn. */
static void guess_door(struct leader *s)
{
    const Pb__Members *all = roster_members(s->options.roster);
    char address[256];
    for (size_t i = 1; i <= all->n_members; i++) {
        size_t at = (s->guess + i) % all->n_members;
        const Pb__Member *m = all->members[at];
        if (roster_is_self(s->options.roster, m) ||
            !roster_is_up(m, roster_region(s->options.roster)) ||
            !roster_door(s->options.roster, m, address))
            continue;
        s->guess = at;
        door_set(s, address);
        return;
    }
}

const Pb__Member *leader_member(const struct leader *s)
{
    if (!s->answers || s->raft_id == 0)
        return NULL;
    const Pb__Member *m = roster_by_raft_id(s->options.roster, s->raft_id);
    return m != NULL || s->name[0] == '\0' ? m : roster_by_name(s->options.roster, s->name);
}

/* The door to the leader as we know it now. */
static void find_door(struct leader *s)
{
    char address[256];
    const Pb__Member *m = leader_member(s);
    if (!s->answers || is_here(s))
        return;
    if (s->raft_id == 0 || s->raft_id == s->own_raft_id || m == NULL ||
        !roster_door(s->options.roster, m, address)) {
        s->door = NULL;
        if (s->raft_id != 0)
            roster_hurry(s->options.roster); /* it will hear of the leader soon */
        return;
    }
    door_set(s, address);
}

static struct client *target(struct leader *s, Pb__Service__Name service)
{
    if (is_here(s))
        return s->options.own[service];
    struct client *c = door_client(s, service);
    if (c == NULL && !s->answers) /* nobody else: a server alone whose jobstore starts again */
        c = s->options.own[service];
    return c;
}

/* ---- calls */

static void call_end(struct leader_call *c)
{
    timer_cancel(c->leader->loop, &c->again);
    call_cancel(c->call);
    list_remove(&c->link);
    free(c->body.data);
    free(c);
}

void leader_call_cancel(struct leader_call *c)
{
    if (c != NULL)
        call_end(c);
}

static void finish(struct leader_call *c, const struct response *r)
{
    response_fn *done = c->done;
    void *owner = c->owner;
    c->call = NULL;
    call_end(c);
    done(owner, r);
}

static void wait_for_leader(struct leader_call *c)
{
    struct leader *s = c->leader;
    uint64_t now = loop_now_ms(s->loop), pause = TRY_AGAIN_MS + loop_random(s->loop) % TRY_AGAIN_MS;
    c->at = NULL;
    if (now + pause > c->until_ms)
        pause = c->until_ms > now ? c->until_ms - now : 0;
    timer_arm(s->loop, &c->again, pause, try_now, c);
}

/* A guess was wrong, or the daemons behind a door are just stopping. */
static bool is_worth_a_retry(struct leader_call *c, const struct response *r)
{
    if (!c->options.retry)
        return false;
    return r->code == PB__REPLY__CODE__TIMEOUT ||
           (r->code == PB__REPLY__CODE__UNAVAILABLE &&
            c->options.service != PB__SERVICE__NAME__SELF && c->unavailable++ < UNAVAILABLE_MOST);
}

static void redirect_calls(struct leader *s);

/* A door that is left takes the calls at it with it. */
static void guess_again(struct leader *s)
{
    const struct door *before = s->door;
    guess_door(s);
    if (s->door != before)
        redirect_calls(s);
}

static void on_answer(void *owner, const struct response *r)
{
    struct leader_call *c = owner;
    struct leader *s = c->leader;
    bool over = loop_now_ms(s->loop) + TRY_AGAIN_MS >= c->until_ms;
    bool again = r->code == PB__REPLY__CODE__NOT_LEADER || is_worth_a_retry(c, r);
    c->call = NULL;
    if (over || !again) {
        finish(c, r);
        return;
    }
    if (!s->answers)
        guess_again(s);
    wait_for_leader(c);
}

static void give_up(struct leader_call *c)
{
    struct arena *a = arena_new(4096);
    struct response r = {
        .code = c->lost ? PB__REPLY__CODE__UNAVAILABLE : PB__REPLY__CODE__NOT_LEADER,
        .reason = c->lost
                      ? "another server leads now"
                      : arena_printf(a, "no server of this region led within %u ms", c->budget_ms),
        .arena = a};
    finish(c, &r);
    arena_free(a);
}

static void try_now(void *owner)
{
    struct leader_call *c = owner;
    struct leader *s = c->leader;
    uint64_t now = loop_now_ms(s->loop);
    if (now >= c->until_ms || c->lost) {
        give_up(c);
        return;
    }
    struct client *to = target(s, c->service);
    if (to == NULL) {
        wait_for_leader(c);
        return;
    }
    uint64_t left = c->until_ms - now;
    bool guessed = !s->answers && s->asked && s->door != NULL;
    c->at = to;
    c->options.service = s->door != NULL && to == s->door->clients[c->service]
                             ? c->service
                             : PB__SERVICE__NAME__SELF;
    c->options.budget_ms = (uint32_t)(guessed && left > GUESS_MS ? GUESS_MS : left);
    c->call = client_call(to, &c->options);
}

struct leader_call *leader_call(struct leader *s, Pb__Service__Name service,
                                const struct call_options *o)
{
    struct leader_call *c = xcalloc(1, sizeof(*c));
    c->leader = s;
    c->service = service;
    c->options = *o;
    c->done = o->done;
    c->owner = o->owner;
    memcpy(c->id, o->id != NULL ? o->id : id_new().bytes, ID_SIZE);
    c->budget_ms = o->budget_ms > 0 ? o->budget_ms : DEFAULT_BUDGET_MS;
    c->until_ms = loop_now_ms(s->loop) + c->budget_ms;
    if (o->body != NULL) { /* for every try */
        c->body.len = protobuf_c_message_get_packed_size(o->body);
        c->body.data = xmalloc(c->body.len + 1);
        protobuf_c_message_pack(o->body, c->body.data);
    }
    c->options.body = NULL;
    c->options.raw = &c->body;
    c->options.id = c->id;
    c->options.done = on_answer;
    c->options.owner = c;
    list_push_back(&s->calls, &c->link);
    if (target(s, service) != NULL)
        try_now(c);
    else
        wait_for_leader(c);
    return c;
}

/* What was sent to one that no longer leads, or waits, goes to the leader of now. */
static void redirect_calls(struct leader *s)
{
    struct leader_call *c;
    list_each(&s->calls, struct leader_call, link, c)
    {
        if (c->call != NULL && target(s, c->service) == c->at)
            continue;
        c->lost = c->call != NULL && !c->options.retry;
        call_cancel(c->call);
        c->call = NULL;
        c->at = NULL;
        timer_arm(s->loop, &c->again, 0, try_now, c);
    }
    if (s->options.changed != NULL)
        s->options.changed(s->options.self);
}

/* ---- what jobstore tells */

static void ask_status(void *owner);

static void lose_jobstore(struct leader *s)
{
    bool was = s->answers;
    s->answers = false;
    timer_arm(s->loop, &s->status_again, STATUS_RETRY_MS, ask_status, s);
    if (!was)
        return;
    if (s->leading || s->door == NULL)
        guess_door(s);
    redirect_calls(s);
}

static void on_status(void *owner, const struct response *r)
{
    struct leader *s = owner;
    const Pb__JobstoreStatus *now = (const Pb__JobstoreStatus *)r->body;
    s->status_call = NULL;
    if (r->code != PB__REPLY__CODE__OK || now == NULL) {
        lose_jobstore(s);
        return;
    }
    const char *name = now->leader_name != NULL ? now->leader_name : "";
    bool news = !s->answers || !s->asked || s->leading != now->leading || s->term != now->term ||
                s->raft_id != now->leader_raft_id || strcmp(s->name, name) != 0;
    s->asked = s->answers = true;
    s->leading = now->leading;
    s->term = now->term;
    s->raft_id = now->leader_raft_id;
    s->own_raft_id = now->raft_id;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->contact_ms = now->last_contact_ms;
    s->contact_at_ms = loop_now_ms(s->loop);
    if (news) {
        find_door(s);
        redirect_calls(s);
    }
    ask_status(s);
}

static void ask_status(void *owner)
{
    struct leader *s = owner;
    Pb__StatusWait wait = PB__STATUS_WAIT__INIT;
    wait.has_term = wait.has_leader_raft_id = wait.has_leading = wait.has_wait_ms = true;
    wait.term = s->term;
    wait.leader_raft_id = s->raft_id;
    wait.leading = s->leading;
    wait.wait_ms = s->answers ? STATUS_WAIT_MS : 0;
    s->status_call =
        client_call(s->poll, &(struct call_options){.method = PB__JOBSTORE__METHOD__STATUS,
                                                    .body = &wait.base,
                                                    .reply = &pb__jobstore_status__descriptor,
                                                    .budget_ms = wait.wait_ms + STATUS_SLACK_MS,
                                                    .done = on_status,
                                                    .owner = s});
}

void leader_roster_changed(struct leader *s)
{
    const struct door *before = s->door;
    find_door(s);
    if (s->door != before)
        redirect_calls(s);
}

/* ---- life and questions */

enum err leader_open(struct leader **out, struct loop *l, const struct leader_options *o,
                     struct reason *why)
{
    struct leader *s = xcalloc(1, sizeof(*s));
    s->loop = l;
    s->options = *o;
    list_init(&s->doors);
    list_init(&s->closing);
    list_init(&s->calls);
    enum err e = client_open(&s->poll, l, o->jobstore_poll, why);
    if (e != OK) {
        free(s);
        return e;
    }
    *out = s;
    ask_status(s);
    return OK;
}

void leader_close(struct leader *s)
{
    if (s == NULL)
        return;
    struct leader_call *c;
    list_each(&s->calls, struct leader_call, link, c)
    {
        call_end(c);
    }
    timer_cancel(s->loop, &s->status_again);
    timer_cancel(s->loop, &s->reap);
    client_close(s->poll); /* and with it the question */
    on_reap(s);
    struct door *d;
    list_each(&s->doors, struct door, link, d)
    {
        door_free(d);
    }
    free(s);
}

bool leader_is_known(const struct leader *s)
{
    return s->answers && (s->leading || s->raft_id != 0);
}

bool leader_is_here(const struct leader *s)
{
    return s->answers && s->leading;
}

uint64_t leader_term(const struct leader *s)
{
    return s->term;
}

bool leader_door(const struct leader *s, char out[256])
{
    if (!leader_is_known(s) || s->leading || s->door == NULL)
        return false;
    snprintf(out, 256, "%s", s->door->address);
    return true;
}

uint64_t leader_raft_id(const struct leader *s)
{
    return s->answers ? s->raft_id : 0;
}

uint64_t leader_last_contact_ms(const struct leader *s)
{
    return leader_is_here(s) ? 0 : s->contact_ms + loop_now_ms(s->loop) - s->contact_at_ms;
}
