/* Not a test: how long apply takes. One plan of 10,000 placements on 1,000 nodes; then 2,000 small
 * jobs with one each. */
#include "base/clock.h"
#include "cluster.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static Pb__Outcome *dispatch(struct cluster *c)
{
    Pb__JobDispatch body = PB__JOB_DISPATCH__INIT;
    Pb__Command cmd = PB__COMMAND__INIT;
    body.job_id = (char *)(uintptr_t) "parent";
    cmd.body_case = PB__COMMAND__BODY_JOB_DISPATCH;
    cmd.job_dispatch = &body;
    return cluster_apply(c, &cmd, 0);
}

static double file_bytes(struct cluster *c)
{
    return (double)store_file_bytes(state_store(c->state));
}

/* One child is at work, `waiting` others wait, then 200 more; and 200 end, each of which gives the
 * next its turn. */
static void measure_waiting(uint32_t waiting)
{
    enum { MORE = 200 };
    struct state_options o = {.map_bytes = (size_t)8 << 30};
    struct cluster *c = cluster_new_with(&o);
    Pb__ParameterizedJob p = PB__PARAMETERIZED_JOB__INIT;
    Pb__Job *parent = a_job(c, "parent", 1);
    c->unchecked = true;
    p.payload = (char *)(uintptr_t) "optional";
    p.has_max_running = true;
    p.max_running = 1;
    parent->type = (char *)(uintptr_t) "batch";
    parent->parameterized_job = &p;
    register_job(c, parent);
    const char *ids[MORE] = {dispatch(c)->child_id};
    double before = file_bytes(c), at = now_ms();
    for (uint32_t i = 1; i <= waiting; i++)
        if (i < MORE)
            ids[i] = dispatch(c)->child_id;
        else
            dispatch(c);
    double took = now_ms() - at, bytes = file_bytes(c) - before;
    at = now_ms();
    for (int i = 0; i < MORE; i++)
        dispatch(c);
    printf("%u children wait: %.1f us for each dispatch, the last %d %.1f us; %.0f bytes each; ",
           waiting, took * 1e3 / waiting, MORE, (now_ms() - at) * 1e3 / MORE, bytes / waiting);
    at = now_ms();
    for (int i = 0; i < MORE; i++)
        deregister_job(c, ids[i], false);
    printf("%.1f us for each end and the next one's turn\n", (now_ms() - at) * 1e3 / MORE);
    cluster_free(c);
}

int main(void)
{
    measure_waiting(1000);
    measure_waiting(100000);
    struct state_options o = {.map_bytes = (size_t)8 << 30};
    struct cluster *c = cluster_new_with(&o);
    c->unchecked = true;
    double at = now_ms();
    for (uint32_t i = 0; i < 1000; i++)
        register_node(c, a_node(c, i, 100000, 100000));
    printf("1,000 nodes: %.1f ms\n", now_ms() - at);
    for (int round = 0; round < 3; round++) {
        char name[16];
        snprintf(name, sizeof name, "big-%d", round);
        Pb__Plan *p = a_plan(c, register_job(c, a_job(c, name, 10000))->eval_id);
        for (uint32_t i = 0; i < 10000; i++)
            plan_place(c, p, id_of(c, "node", i * 7 % 1000), 1, 1,
                       20000 + (uint32_t)round * 1000 + i / 1000);
        at = now_ms();
        Pb__Outcome *out = apply_a_plan(c, p);
        printf("a plan of 10,000: %.1f ms (placed %u)\n", now_ms() - at, out->placed);
    }
    at = now_ms();
    for (uint32_t i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "small-%u", i);
        Pb__Plan *p = a_plan(c, register_job(c, a_job(c, name, 1))->eval_id);
        plan_place(c, p, id_of(c, "node", i % 1000), 1, 1, 25000 + i / 1000);
        apply_a_plan(c, p);
    }
    printf("2,000 jobs, each with its plan: %.1f ms\n", now_ms() - at);
    printf("state: %.1f MiB\n", (double)store_file_bytes(state_store(c->state)) / (1 << 20));
    cluster_free(c);
    return 0;
}
