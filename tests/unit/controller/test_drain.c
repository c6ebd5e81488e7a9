/* What a round of a drain finds: one node that is drained, and jobs of one group with allocations
 * there and elsewhere. */
#include "controller/drain.h"
#include "base/id.h"
#include <criterion/criterion.h>
#include <string.h>

#define SECOND 1000000000ll
#define NOW    (1000 * SECOND)

static struct arena *a;
static struct drain *d;

static void set_up(void)
{
    a = arena_new(32u << 20);
    d = drain_new();
}

static void tear_down(void)
{
    drain_free(d);
    arena_free(a);
}

TestSuite(drain, .init = set_up, .fini = tear_down);

static ProtobufCBinaryData an_id(uint8_t kind, uint8_t number)
{
    uint8_t *id = arena_alloc(a, ID_SIZE);
    memset(id, 0, ID_SIZE);
    id[0] = kind;
    id[15] = number;
    return (ProtobufCBinaryData){ID_SIZE, id};
}

static bool drain_node(uint8_t number, int64_t deadline_ns, int64_t force_deadline,
                       bool ignore_system)
{
    Pb__DrainStrategy s = PB__DRAIN_STRATEGY__INIT;
    Pb__Node n = PB__NODE__INIT;
    s.deadline_ns = deadline_ns;
    s.force_deadline = force_deadline;
    s.ignore_system_jobs = ignore_system;
    n.id = an_id('n', number);
    n.drain = true;
    n.drain_strategy = &s;
    n.modify_index = 7;
    return drain_put_node(d, &n);
}

/* A job of one group with count allocations, the first `here` of them on node 1, the others on node
 * 2, all running for a minute. */
static Pb__JobView *a_job(const char *id, const char *type, uint8_t count, uint8_t here)
{
    Pb__JobView *v = arena_alloc(a, sizeof *v);
    Pb__Job *job = arena_alloc(a, sizeof *job);
    Pb__TaskGroup *g = arena_alloc(a, sizeof *g);
    pb__job_view__init(v);
    pb__job__init(job);
    pb__task_group__init(g);
    job->id = arena_strdup(a, id);
    job->type = arena_strdup(a, type);
    g->name = arena_strdup(a, "g");
    g->count = count;
    job->n_task_groups = 1;
    job->task_groups = arena_array(a, Pb__TaskGroup *, 1);
    job->task_groups[0] = g;
    v->job = job;
    v->allocs = arena_array(a, Pb__Alloc *, count + 1u);
    for (uint8_t i = 0; i < count; i++) {
        Pb__Alloc *x = v->allocs[v->n_allocs++] = arena_alloc(a, sizeof *x);
        pb__alloc__init(x);
        x->id = an_id((uint8_t)id[0], i);
        x->job_id = job->id;
        x->task_group = g->name;
        x->node_id = an_id('n', i < here ? 1 : 2);
        x->desired = PB__ALLOC__DESIRED__RUN;
        x->client_status = PB__ALLOC__CLIENT_STATUS__RUNNING;
        x->modify_time = NOW - 60 * SECOND;
    }
    return v;
}

static void allow(Pb__JobView *v, uint32_t max_parallel)
{
    Pb__MigrateStrategy *m = arena_alloc(a, sizeof *m);
    pb__migrate_strategy__init(m);
    m->has_max_parallel = m->has_min_healthy_time_ns = true;
    m->max_parallel = max_parallel;
    m->min_healthy_time_ns = 10 * SECOND;
    v->job->task_groups[0]->migrate = m;
}

/* A whole round. At most four jobs. */
static const Pb__DrainStep *a_round(Pb__JobView *const *views)
{
    struct drain_round *r = drain_round_new(d, a, NOW);
    const uint8_t *node;
    const Pb__JobKey *key;
    while ((node = drain_round_next_node(r)) != NULL)
        for (size_t k = 0; views[k] != NULL; k++)
            for (size_t i = 0; i < views[k]->n_allocs; i++)
                if (id_equal(views[k]->allocs[i]->node_id.data, node))
                    drain_round_alloc(r, views[k]->allocs[i]);
    while ((key = drain_round_next_job(r)) != NULL)
        for (size_t k = 0; views[k] != NULL; k++)
            if (strcmp(views[k]->job->id, key->id) == 0)
                drain_round_job(r, views[k]);
    return drain_round_finish(r);
}

static const Pb__DrainStep *round_of(Pb__JobView *x)
{
    return a_round((Pb__JobView *[]){x, NULL});
}

Test(drain, a_node_is_known_while_it_is_drained)
{
    cr_assert(drain_node(1, 0, 0, false), "news");
    cr_assert_not(drain_node(1, 0, 0, false), "no news");
    cr_assert(drain_node(1, -1, 0, false), "other terms");
    cr_assert_eq(drain_count(d), 1);
    Pb__Node n = PB__NODE__INIT;
    n.id = an_id('n', 1);
    drain_put_node(d, &n);
    cr_assert_eq(drain_count(d), 0);
}

Test(drain, an_empty_node_is_done)
{
    drain_node(1, 0, 0, false);
    const Pb__DrainStep *s = a_round((Pb__JobView *[]){NULL});
    cr_assert_not_null(s);
    cr_assert_eq(s->n_drained, 1);
    cr_assert_eq(s->drained[0]->modify_index, 7);
}

Test(drain, of_a_service_one_moves_at_a_time_unless_it_says_more)
{
    drain_node(1, 0, 0, false);
    Pb__JobView *v = a_job("web", "service", 4, 3);
    cr_assert_eq(round_of(v)->n_migrate, 1);
    allow(v, 2);
    cr_assert_eq(round_of(v)->n_migrate, 2);
    allow(v, 9);
    const Pb__DrainStep *s = round_of(v);
    cr_assert_eq(s->n_migrate, 3, "only what is on the node");
    cr_assert_eq(s->n_drained, 0, "it is not done yet");
}

Test(drain, the_next_waits_until_the_replacement_is_healthy)
{
    drain_node(1, 0, 0, false);
    Pb__JobView *v = a_job("web", "service", 3, 2);
    v->allocs[0]->migrate = true;
    cr_assert_null(round_of(v), "one is on its way");
    v->allocs[0]->desired = PB__ALLOC__DESIRED__STOP;
    v->allocs[0]->client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
    cr_assert_null(round_of(v), "gone, and nothing in its place");
    Pb__JobView *next = a_job("web", "service", 4, 2);
    next->job->task_groups[0]->count = 3;
    *next->allocs[0] = *v->allocs[0];
    next->allocs[3]->modify_time = NOW - 9 * SECOND;
    cr_assert_null(round_of(next), "it runs for nine seconds only");
    next->allocs[3]->modify_time = NOW - 10 * SECOND;
    const Pb__DrainStep *s = round_of(next);
    cr_assert_not_null(s);
    cr_assert_eq(s->n_migrate, 1);
    cr_assert(id_equal(s->migrate[0].data, next->allocs[1]->id.data));
}

Test(drain, batch_jobs_may_end_by_themselves_until_the_deadline)
{
    Pb__JobView *v = a_job("sum", "batch", 2, 2);
    drain_node(1, SECOND, NOW + 1, false);
    cr_assert_null(round_of(v));
    drain_node(1, SECOND, NOW, false);
    cr_assert_eq(round_of(v)->n_stop, 2);
    drain_node(1, SECOND, NOW + 1, false);
    for (size_t i = 0; i < 2; i++)
        v->allocs[i]->client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
    cr_assert_eq(round_of(v)->n_drained, 1);
}

Test(drain, system_jobs_go_last_and_the_node_is_done_then)
{
    drain_node(1, 0, 0, false);
    Pb__JobView *log = a_job("log", "system", 1, 1), *sum = a_job("sum", "batch", 1, 1);
    Pb__JobView *both[] = {log, sum, NULL};
    cr_assert_null(a_round(both));
    sum->allocs[0]->client_status = PB__ALLOC__CLIENT_STATUS__COMPLETE;
    const Pb__DrainStep *s = a_round(both);
    cr_assert_eq(s->n_migrate, 1);
    cr_assert(id_equal(s->migrate[0].data, log->allocs[0]->id.data));
    cr_assert_eq(s->n_drained, 1);
}

Test(drain, ignored_system_jobs_stay)
{
    drain_node(1, 0, 0, true);
    const Pb__DrainStep *s = round_of(a_job("log", "system", 1, 1));
    cr_assert_eq(s->n_migrate, 0);
    cr_assert_eq(s->n_drained, 1);
}

Test(drain, a_forced_one_takes_all_at_once_and_is_done_when_they_have_ended)
{
    drain_node(1, -1, 0, false);
    Pb__JobView *web = a_job("web", "service", 4, 4), *log = a_job("log", "system", 1, 1);
    const Pb__DrainStep *s = a_round((Pb__JobView *[]){web, log, NULL});
    cr_assert_eq(s->n_stop, 4);
    cr_assert_eq(s->n_migrate, 1, "the system job's: it needs no other place");
    cr_assert_eq(s->n_drained, 0);
}

Test(drain, what_found_no_other_place_stops_at_the_deadline)
{
    Pb__JobView *web = a_job("web", "service", 2, 1);
    web->allocs[0]->migrate = true;
    drain_node(1, SECOND, NOW + 1, false);
    cr_assert_null(round_of(web), "it waits for room");
    drain_node(1, SECOND, NOW, false);
    const Pb__DrainStep *s = round_of(web);
    cr_assert_not_null(s);
    cr_assert_eq(s->n_stop, 1);
    cr_assert(id_equal(s->stop[0].data, web->allocs[0]->id.data));
    web->allocs[0]->stop_wanted = true;
    cr_assert_null(round_of(web), "once");
}

Test(drain, two_nodes_share_what_a_group_can_spare)
{
    drain_node(1, 0, 0, false);
    drain_node(2, 0, 0, false);
    cr_assert_eq(round_of(a_job("web", "service", 4, 2))->n_migrate, 1);
}

Test(drain, a_stopped_job_is_waited_for_not_moved)
{
    drain_node(1, 0, 0, false);
    Pb__JobView *v = a_job("web", "service", 2, 2);
    v->job->stop = true;
    cr_assert_null(round_of(v));
}

static void find_health(Pb__Alloc *x, bool healthy)
{
    x->deployment_status = arena_alloc(a, sizeof *x->deployment_status);
    pb__deployment_status__init(x->deployment_status);
    x->deployment_status->has_healthy = true;
    x->deployment_status->healthy = healthy;
}

Test(drain, believes_the_deployment_about_health)
{
    Pb__JobView *web = a_job("web", "service", 3, 1);
    allow(web, 1);
    drain_node(1, 0, 0, false);
    find_health(web->allocs[2], false);
    cr_assert_null(round_of(web), "old enough, but not healthy");
    find_health(web->allocs[2], true);
    web->allocs[2]->modify_time = NOW;
    cr_assert_not_null(round_of(web), "young, but healthy");
}
