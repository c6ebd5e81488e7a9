#include "base/err.h"
#include "evalbroker/broker.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

static char *const service[] = {(char *)"service"};

/* A broker, a clock, and the state's index. */
struct bed {
    struct broker *b;
    struct moment now;
    uint64_t index;
    struct arena *arena;
};

static struct bed bed(void)
{
    static const struct broker_settings set = {.ack_timeout_ms = 60000,
                                               .nack_delay_ms = 1000,
                                               .settle_ms = 10000,
                                               .follow_up_delay_ms = 60000,
                                               .max_deliveries = 3,
                                               .max_evals = 100,
                                               .token_seed = 1000};
    return (struct bed){
        .b = broker_new(&set), .now = {1000, 1000000000000}, .arena = arena_new(16 << 20)};
}

static void bed_end(struct bed *t)
{
    broker_check(t->b);
    broker_free(t->b);
    arena_free(t->arena);
}

static void pass(struct bed *t, uint64_t ms)
{
    t->now.mono_ms += ms;
    t->now.wall_ns += (int64_t)ms * 1000000;
    broker_tick(t->b, t->now);
    broker_check(t->b);
}

struct a_eval {
    uint8_t n;
    const char *job;
    Pb__Eval__Status status; /* 0: pending */
    uint32_t priority;
    uint64_t created, snapshot;
    int64_t wait_until;
    const char *type, *unfit_class;
    uint8_t blocked_eval;
    bool never_planned;
};

static ProtobufCBinaryData id_of(struct bed *t, uint8_t n)
{
    uint8_t *id = arena_alloc(t->arena, 16);
    id[15] = n;
    return (ProtobufCBinaryData){16, id};
}

/* The feed shows it, as changed just now. */
static void put_(struct bed *t, struct a_eval e)
{
    Pb__Eval m = PB__EVAL__INIT;
    m.has_id = 1;
    m.id = id_of(t, e.n);
    m.job_id = (char *)(e.job != NULL ? e.job : "j");
    m.type = (char *)(e.type != NULL ? e.type : "service");
    m.status = e.status != 0 ? e.status : PB__EVAL__STATUS__PENDING;
    m.priority = e.priority != 0 ? e.priority : 50;
    m.modify_index = ++t->index;
    m.create_index = e.created != 0 ? e.created : t->index;
    m.wait_until = e.wait_until;
    m.has_snapshot_index = !e.never_planned;
    m.snapshot_index = e.snapshot;
    Pb__ClassEligible unfit = PB__CLASS_ELIGIBLE__INIT, *classes = &unfit;
    unfit.class_ = (char *)e.unfit_class;
    m.n_classes = e.unfit_class != NULL;
    m.classes = &classes;
    m.has_blocked_eval = e.blocked_eval != 0;
    m.blocked_eval = id_of(t, e.blocked_eval);
    m.has_modify_index = m.has_create_index = m.has_status = m.has_priority = 1;
    broker_put_eval(t->b, &m, t->now);
    broker_check(t->b);
}
#define put(t, ...) put_((t), (struct a_eval){__VA_ARGS__})

static void node_ready(struct bed *t, uint8_t n, const char *class)
{
    Pb__Node m = PB__NODE__INIT;
    m.has_id = 1;
    m.id = id_of(t, n);
    m.computed_class = (char *)class;
    m.status = PB__NODE__STATUS__READY;
    m.modify_index = ++t->index;
    broker_put_node(t->b, &m);
    broker_reached(t->b, t->index, t->now);
    broker_check(t->b);
}

/* Which evaluation comes, 0 if none. */
static uint8_t take(struct bed *t, struct delivery *d)
{
    struct delivery mine;
    d = d != NULL ? d : &mine;
    if (!broker_dequeue(t->b, service, 1, 7, t->now, d))
        return 0;
    broker_check(t->b);
    Pb__Eval *e = WIRE_UNPACK(t->arena, Pb__Eval, pb__eval, d->eval, d->eval_len);
    return e->id.data[15];
}

static bool ack(struct bed *t, uint8_t n, const struct delivery *d, uint64_t index)
{
    bool ok = broker_ack(t->b, id_of(t, n).data, d->token, index, t->now);
    broker_check(t->b);
    return ok;
}

static bool nack(struct bed *t, uint8_t n, const struct delivery *d)
{
    bool ok = broker_nack(t->b, id_of(t, n).data, d->token, t->now);
    broker_check(t->b);
    return ok;
}

static const Pb__EvalUpdate *proposal(struct bed *t)
{
    Pb__EvalUpdates *u = broker_take_updates(t->b, t->arena, 10, t->now);
    broker_check(t->b);
    if (u == NULL)
        return NULL;
    cr_assert_eq(u->n_evals, 1);
    return u->evals[0];
}

Test(broker, the_most_urgent_comes_first_then_the_oldest)
{
    struct bed t = bed();
    put(&t, .n = 1, .job = "a", .priority = 50);
    put(&t, .n = 2, .job = "b", .priority = 70);
    put(&t, .n = 3, .job = "c", .priority = 70);
    put(&t, .n = 4, .job = "d", .priority = 100, .type = "mine");
    cr_assert_eq(take(&t, NULL), 2);
    cr_assert_eq(take(&t, NULL), 3);
    cr_assert_eq(take(&t, NULL), 1);
    cr_assert_eq(take(&t, NULL), 0, "another type is for another scheduler");
    bed_end(&t);
}

Test(broker, of_a_job_one_is_out_the_newest_waits_and_the_rest_is_cancelled)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1);
    cr_assert_eq(take(&t, &d), 1);
    put(&t, .n = 2);
    put(&t, .n = 3);
    cr_assert_eq(take(&t, NULL), 0);
    const Pb__EvalUpdate *u = proposal(&t);
    cr_assert_eq(u->id.data[15], 2);
    cr_assert_eq(u->status, PB__EVAL__STATUS__CANCELLED);
    cr_assert_null(proposal(&t));
    cr_assert(ack(&t, 1, &d, 9));
    cr_assert_eq(take(&t, NULL), 0, "the feed has not shown the end of the first");
    put(&t, .n = 1, .status = PB__EVAL__STATUS__COMPLETE);
    cr_assert_eq(take(&t, NULL), 3);
    put(&t, .n = 2, .status = PB__EVAL__STATUS__CANCELLED);
    bed_end(&t);
}

Test(broker, the_feed_may_show_the_end_before_the_ack)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1);
    take(&t, &d);
    put(&t, .n = 1, .created = 1, .status = PB__EVAL__STATUS__COMPLETE);
    cr_assert_not(ack(&t, 1, &d, t.index));
    cr_assert_eq(take(&t, NULL), 0);
    bed_end(&t);
}

Test(broker, an_acked_one_that_the_feed_never_ends_comes_again)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1);
    take(&t, &d);
    ack(&t, 1, &d, 5);
    broker_reached(t.b, 4, t.now);
    pass(&t, 5000);
    cr_assert_eq(take(&t, NULL), 0);
    broker_reached(t.b, 5, t.now);
    pass(&t, 1000);
    cr_assert_eq(take(&t, &d), 1, "the view is where the worker said, and it is pending still");
    ack(&t, 1, &d, 0);
    pass(&t, 10000);
    cr_assert_eq(take(&t, &d), 1, "or nothing was heard for long");
    bed_end(&t);
}

Test(broker, a_silent_worker_loses_it_and_its_old_token_means_nothing)
{
    struct bed t = bed();
    struct delivery first, second;
    put(&t, .n = 1);
    take(&t, &first);
    pass(&t, 59999);
    cr_assert_eq(take(&t, NULL), 0);
    pass(&t, 1);
    cr_assert_eq(take(&t, &second), 1);
    cr_assert_eq(second.attempt, 2);
    cr_assert_not(ack(&t, 1, &first, 0));
    cr_assert(nack(&t, 1, &second));
    bed_end(&t);
}

Test(broker, what_a_vanished_worker_held_is_ready_at_once)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1, .job = "a");
    put(&t, .n = 2, .job = "b");
    take(&t, NULL);
    take(&t, NULL);
    broker_owner_gone(t.b, 8, t.now);
    cr_assert_eq(take(&t, NULL), 0);
    broker_owner_gone(t.b, 7, t.now);
    broker_check(t.b);
    cr_assert_eq(take(&t, &d), 1);
    cr_assert_eq(d.attempt, 2);
    cr_assert_eq(take(&t, NULL), 2);
    bed_end(&t);
}

Test(broker, after_the_last_delivery_it_fails_with_a_follow_up)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1);
    static const uint64_t delay[] = {0, 1000, 2000};
    for (int i = 0; i < 3; i++) {
        if (delay[i] > 0) {
            pass(&t, delay[i] - 1);
            cr_assert_eq(take(&t, NULL), 0);
            pass(&t, 1);
        }
        cr_assert_eq(take(&t, &d), 1);
        cr_assert(nack(&t, 1, &d));
    }
    const Pb__EvalUpdate *u = proposal(&t);
    cr_assert_eq(u->status, PB__EVAL__STATUS__FAILED);
    cr_assert_eq(u->follow_up_at, t.now.wall_ns + 60000000000);
    pass(&t, 9999);
    cr_assert_null(proposal(&t));
    pass(&t, 1);
    cr_assert_not_null(proposal(&t), "proposed again while the feed shows nothing");
    put(&t, .n = 1, .status = PB__EVAL__STATUS__FAILED);
    cr_assert_eq(take(&t, NULL), 0);
    bed_end(&t);
}

Test(broker, a_refused_one_gives_way_to_a_newer_one)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1);
    take(&t, &d);
    nack(&t, 1, &d);
    put(&t, .n = 2);
    cr_assert_eq(proposal(&t)->id.data[15], 1);
    cr_assert_eq(take(&t, &d), 2);
    bed_end(&t);
}

Test(broker, a_delayed_one_comes_at_its_time)
{
    struct bed t = bed();
    put(&t, .n = 1, .wait_until = t.now.wall_ns + 5000000000);
    put(&t, .n = 2, .job = "b", .wait_until = t.now.wall_ns - 1);
    cr_assert_eq(take(&t, NULL), 2);
    pass(&t, 4999);
    cr_assert_eq(take(&t, NULL), 0);
    pass(&t, 2);
    cr_assert_eq(take(&t, NULL), 1);
    bed_end(&t);
}

Test(broker, a_blocked_one_wakes_when_its_class_gets_room)
{
    struct bed t = bed();
    struct delivery d;
    put(&t, .n = 1, .status = PB__EVAL__STATUS__BLOCKED, .unfit_class = "bad");
    node_ready(&t, 1, "bad");
    cr_assert_eq(take(&t, NULL), 0);
    node_ready(&t, 2, "new");
    cr_assert_eq(take(&t, &d), 1);
    cr_assert_eq(d.min_index, t.index);
    put(&t, .n = 1, .status = PB__EVAL__STATUS__BLOCKED, .created = 1, .snapshot = t.index);
    cr_assert(ack(&t, 1, &d, t.index), "it stays blocked");
    cr_assert_eq(take(&t, NULL), 0);
    node_ready(&t, 3, "new");
    cr_assert_eq(take(&t, &d), 1);
    cr_assert_eq(d.attempt, 1);
    bed_end(&t);
}

Test(broker, no_room_wakes_one_that_waits_for_other_jobs)
{
    struct bed t = bed();
    put(&t, .n = 1, .status = PB__EVAL__STATUS__BLOCKED, .never_planned = true);
    node_ready(&t, 1, "new");
    cr_assert_eq(take(&t, NULL), 0);
    put(&t, .n = 1, .never_planned = true); /* the state lets it go on */
    cr_assert_eq(take(&t, NULL), 1);
    bed_end(&t);
}

Test(broker, room_that_appeared_after_the_snapshot_is_not_missed)
{
    struct bed t = bed();
    node_ready(&t, 1, "a");
    node_ready(&t, 2, "a");
    put(&t, .n = 1, .status = PB__EVAL__STATUS__BLOCKED, .snapshot = 1);
    cr_assert_eq(take(&t, NULL), 1);
    put(&t, .n = 2, .job = "b", .status = PB__EVAL__STATUS__BLOCKED, .snapshot = 2);
    cr_assert_eq(take(&t, NULL), 0);
    bed_end(&t);
}

Test(broker, of_a_job_the_newest_blocked_one_counts)
{
    struct bed t = bed();
    put(&t, .n = 1, .status = PB__EVAL__STATUS__BLOCKED);
    put(&t, .n = 2, .status = PB__EVAL__STATUS__BLOCKED);
    cr_assert_eq(proposal(&t)->id.data[15], 1);
    put(&t, .n = 1, .status = PB__EVAL__STATUS__CANCELLED);
    put(&t, .n = 3, .status = PB__EVAL__STATUS__COMPLETE, .blocked_eval = 2);
    cr_assert_null(proposal(&t));
    put(&t, .n = 4, .status = PB__EVAL__STATUS__COMPLETE, .snapshot = 1);
    cr_assert_null(proposal(&t), "its plan had not seen what the blocked one saw");
    put(&t, .n = 5, .status = PB__EVAL__STATUS__COMPLETE, .snapshot = 3);
    cr_assert_eq(proposal(&t)->id.data[15], 2, "a later evaluation of the job needed nothing more");
    bed_end(&t);
}

Test(broker, a_listing_forgets_what_is_gone)
{
    struct bed t = bed();
    put(&t, .n = 1, .job = "a");
    put(&t, .n = 2, .job = "b");
    broker_reload_begin(t.b);
    cr_assert_eq(take(&t, NULL), 0, "nothing is known while it lasts");
    put(&t, .n = 2, .job = "b");
    broker_reload_end(t.b, t.now);
    cr_assert_eq(take(&t, NULL), 2);
    cr_assert_eq(take(&t, NULL), 0);
    bed_end(&t);
}

Test(broker, what_has_no_room_stays_in_the_state)
{
    struct bed t = bed();
    char job[8] = "j00";
    for (int i = 0; i < 120; i++) {
        job[1] = (char)('a' + i / 10);
        job[2] = (char)('0' + i % 10);
        put(&t, .n = (uint8_t)i, .job = job);
    }
    for (int i = 0; i < 60; i++) {
        cr_assert_not(broker_wants_reload(t.b) && i < 50);
        job[1] = (char)('a' + i / 10);
        job[2] = (char)('0' + i % 10);
        put(&t, .n = (uint8_t)i, .job = job, .status = PB__EVAL__STATUS__COMPLETE);
    }
    cr_assert(broker_wants_reload(t.b));
    bed_end(&t);
}
