#include "feed/feed.h"
#include "base/fault.h"
#include "net/net.h"
#include <stdlib.h>
#include <string.h>

#define POLL_MS      30000 /* a long poll's wait */
#define SHORT_MS     10000 /* budget of a short request */
#define SLACK_MS     5000  /* a poll's budget beyond its wait */
#define RETRY_MIN_MS 20
#define RETRY_MAX_MS 1000
#define HURRY_MIN_MS 5 /* between two hurried questions, doubled each time */
#define HURRY_MAX_MS 250
#define HURRY_TRIES  40
#define TABLES       (PB__TABLE__NAME__SCALING_EVENTS + 1)

/* Where it stands. Each has at most one request under way, besides the hurrying one while
 * following. */
enum phase { ASKING_STATUS, LISTING, FOLLOWING };

struct feed {
    struct loop *loop;
    struct feed_options options;
    struct client *client, *poll_client;
    struct call *call, *hurry;
    struct timer retry, pace, hurry_again;
    enum phase phase;
    unsigned table; /* being listed */
    Pb__Key *after; /* where the list goes on; in after_arena */
    struct arena *after_arena;
    uint64_t base;            /* the listing holds at least everything up to here */
    uint64_t index;           /* of the view; 0 while listing */
    uint32_t skip;            /* of the index behind */
    uint64_t wanted, hurried; /* to be reached at once; what the hurrying request is for */
    uint32_t hurry_tries;
    uint32_t retry_ms;
    bool up, told_up, closing;
};

static void go_on(struct feed *f);
static void hurry_maybe(struct feed *f);

uint64_t feed_index(const struct feed *f)
{
    return f->index;
}

static void tell_connected(struct feed *f, bool up, const char *why)
{
    if (f->told_up && f->up == up)
        return;
    f->told_up = true;
    f->up = up;
    if (f->options.connected != NULL)
        f->options.connected(f->options.self, up, why);
}

/* ---- failing and beginning again */

static void on_retry(void *owner)
{
    go_on(owner);
}

/* The next try comes later each time, and not at the same moment as everybody else's. */
static void fail(struct feed *f, const char *why)
{
    tell_connected(f, false, why);
    uint32_t wait = f->retry_ms + (uint32_t)(loop_random(f->loop) % (f->retry_ms / 2 + 1));
    f->retry_ms = f->retry_ms * 2 < RETRY_MAX_MS ? f->retry_ms * 2 : RETRY_MAX_MS;
    timer_arm(f->loop, &f->retry, wait, on_retry, f);
}

static void succeed(struct feed *f)
{
    f->retry_ms = RETRY_MIN_MS;
    tell_connected(f, true, "");
}

static void start_over(struct feed *f)
{
    f->phase = ASKING_STATUS;
    f->index = 0;
    f->skip = 0;
    if (f->hurry != NULL)
        call_cancel(f->hurry);
    f->hurry = NULL;
}

static struct call *ask(struct feed *f, struct client *c, uint32_t method,
                        const ProtobufCMessage *body, const ProtobufCMessageDescriptor *reply,
                        uint32_t budget_ms, response_fn *done)
{
    struct call_options o = {.method = method,
                             .body = body,
                             .reply = reply,
                             .budget_ms = budget_ms,
                             .done = done,
                             .owner = f};
    return client_call(c, &o);
}

/* ---- the listing */

static void take_objects(struct feed *f, Pb__Object *const *objects, size_t count, uint64_t index)
{
    for (size_t i = 0; i < count; i++)
        f->options.object(f->options.self, objects[i], index);
}

static bool next_table(struct feed *f)
{
    do {
        f->table++;
    } while (f->table < TABLES && (f->options.tables & (1u << f->table)) == 0);
    return f->table < TABLES;
}

static void listed(struct feed *f)
{
    f->phase = FOLLOWING;
    f->index = f->base;
    f->skip = 0;
    if (f->options.synced != NULL)
        f->options.synced(f->options.self, f->index);
}

static void on_list(void *owner, const struct response *r)
{
    struct feed *f = owner;
    const Pb__Objects *out = (const Pb__Objects *)r->body;
    f->call = NULL;
    if (r->code != PB__REPLY__CODE__OK || out == NULL) {
        fail(f, r->reason); /* goes on at the same page: what is listed twice is only newer */
        return;
    }
    succeed(f);
    take_objects(f, out->objects, out->n_objects, f->base);
    arena_reset(f->after_arena);
    f->after = NULL;
    if (out->next != NULL)
        f->after = (Pb__Key *)wire_clone(f->after_arena, &out->next->base);
    else if (!next_table(f))
        listed(f);
    go_on(f);
}

static void list(struct feed *f)
{
    Pb__List q = PB__LIST__INIT;
    q.has_table = true;
    q.table = (Pb__Table__Name)f->table;
    q.after = f->after;
    f->call = ask(f, f->client, PB__JOBSTORE__METHOD__LIST, &q.base, &pb__objects__descriptor,
                  SHORT_MS, on_list);
}

static void on_status(void *owner, const struct response *r)
{
    struct feed *f = owner;
    const Pb__JobstoreStatus *s = (const Pb__JobstoreStatus *)r->body;
    f->call = NULL;
    if (r->code != PB__REPLY__CODE__OK || s == NULL) {
        fail(f, r->reason);
        return;
    }
    succeed(f);
    f->base = s->applied_index;
    f->phase = LISTING;
    f->table = 0;
    f->after = NULL;
    if (f->options.reset != NULL)
        f->options.reset(f->options.self);
    if (f->options.skip_list || !next_table(f))
        listed(f);
    go_on(f);
}

/* ---- following */

/* Two answers may overlap (the poll's and the hurried one). The older is dropped: the newer held
 * all of it. */
static void take_changes(struct feed *f, const Pb__ChangesReply *c)
{
    if (c->reached < f->index || (c->reached == f->index && c->skip <= f->skip && c->n_objects > 0))
        return;
    take_objects(f, c->objects, c->n_objects, c->reached);
    f->index = c->reached + MUTANT("feed-skips-an-index");
    f->skip = c->skip;
    if (f->options.synced != NULL && f->skip == 0)
        f->options.synced(f->options.self, f->index);
}

static void on_changes_reply(struct feed *f, const struct response *r)
{
    const Pb__ChangesReply *c = (const Pb__ChangesReply *)r->body;
    if (r->code != PB__REPLY__CODE__OK || c == NULL) {
        fail(f, r->reason);
        return;
    }
    succeed(f);
    if (c->too_old) {
        if (f->call != NULL)
            call_cancel(f->call);
        f->call = NULL;
        start_over(f);
    } else {
        take_changes(f, c);
    }
    if (!f->closing)
        go_on(f);
}

static void on_paced(void *owner)
{
    go_on(owner);
}

static void on_changes(void *owner, const struct response *r)
{
    struct feed *f = owner;
    f->call = NULL;
    if (f->options.pace_ms > 0)
        timer_arm(f->loop, &f->pace, f->options.pace_ms, on_paced, f);
    on_changes_reply(f, r);
}

static void on_hurry_again(void *owner)
{
    struct feed *f = owner;
    hurry_maybe(f);
}

/* A follower that has not heard yet how far the leader is. The poll would bring the rest only with
 * the next change in our tables. */
static void hurry_later(struct feed *f)
{
    uint32_t pause = HURRY_MIN_MS << (f->hurry_tries < 8 ? f->hurry_tries : 8);
    if (f->hurry_tries++ >= HURRY_TRIES) {
        f->wanted = 0; /* an index that there is not */
        return;
    }
    timer_arm(f->loop, &f->hurry_again, pause < HURRY_MAX_MS ? pause : HURRY_MAX_MS, on_hurry_again,
              f);
}

static void on_hurry(void *owner, const struct response *r)
{
    struct feed *f = owner;
    f->hurry = NULL;
    const Pb__ChangesReply *c = (const Pb__ChangesReply *)r->body;
    bool reached = c != NULL && (c->too_old || c->reached >= f->hurried);
    if (r->code == PB__REPLY__CODE__OK && f->wanted == f->hurried && !reached)
        hurry_later(f);
    else if (r->code == PB__REPLY__CODE__OK && f->wanted == f->hurried)
        f->wanted = 0;
    on_changes_reply(f, r);
}

static struct call *ask_changes(struct feed *f, struct client *c, uint32_t wait_ms,
                                response_fn *done)
{
    Pb__Changes q = PB__CHANGES__INIT;
    q.has_since = q.has_tables = q.has_wait_ms = q.has_skip = true;
    q.since = f->index;
    q.tables = f->options.tables;
    q.wait_ms = wait_ms;
    q.skip = f->skip;
    return ask(f, c, PB__JOBSTORE__METHOD__CHANGES, &q.base, &pb__changes_reply__descriptor,
               wait_ms + SLACK_MS, done);
}

static void hurry_maybe(struct feed *f)
{
    if (f->phase != FOLLOWING || f->hurry != NULL || f->wanted <= f->index ||
        timer_is_armed(&f->hurry_again))
        return;
    f->hurried = f->wanted;
    f->hurry = ask_changes(f, f->client, 0, on_hurry);
}

static void go_on(struct feed *f)
{
    if (timer_is_armed(&f->retry))
        return;
    if (f->call == NULL) {
        switch (f->phase) {
        case ASKING_STATUS:
            f->call = ask(f, f->client, PB__JOBSTORE__METHOD__STATUS, NULL,
                          &pb__jobstore_status__descriptor, SHORT_MS, on_status);
            break;
        case LISTING:
            list(f);
            break;
        case FOLLOWING:
            if (!timer_is_armed(&f->pace))
                f->call = ask_changes(f, f->poll_client, POLL_MS, on_changes);
            break;
        }
    }
    hurry_maybe(f);
}

void feed_reach(struct feed *f, uint64_t index)
{
    if (index > f->wanted) {
        f->wanted = index;
        f->hurry_tries = 0;
        timer_cancel(f->loop, &f->hurry_again);
    }
    hurry_maybe(f);
}

/* ---- life */

enum err feed_open(struct feed **out, struct loop *l, const struct feed_options *o,
                   struct reason *why)
{
    struct feed *f = xcalloc(1, sizeof *f);
    f->loop = l;
    f->options = *o;
    f->retry_ms = RETRY_MIN_MS;
    f->after_arena = arena_new(WIRE_MAX_MESSAGE);
    enum err e = client_open(&f->client, l, o->jobstore, why);
    if (e == OK)
        e = client_open(&f->poll_client, l, o->jobstore_poll, why);
    if (e != OK) {
        feed_close(f);
        return e;
    }
    *out = f;
    go_on(f);
    return OK;
}

void feed_close(struct feed *f)
{
    if (f == NULL)
        return;
    f->closing = true;
    timer_cancel(f->loop, &f->retry);
    timer_cancel(f->loop, &f->pace);
    timer_cancel(f->loop, &f->hurry_again);
    if (f->call != NULL)
        call_cancel(f->call);
    if (f->hurry != NULL)
        call_cancel(f->hurry);
    client_close(f->client);
    client_close(f->poll_client);
    arena_free(f->after_arena);
    free(f);
}
