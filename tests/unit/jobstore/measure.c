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

int main(void)
{
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
