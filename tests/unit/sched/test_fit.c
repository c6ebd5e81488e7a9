#include "sched/fit.h"
#include "pieces.h"
#include <criterion/criterion.h>

Test(fit, each_dimension_can_refuse)
{
    Pb__Amount capacity = PB__AMOUNT__INIT, used = PB__AMOUNT__INIT;
    capacity.cpu = 1000, capacity.memory_mb = 512, capacity.disk_mb = 100;
    used.cpu = 600, used.memory_mb = 256, used.disk_mb = 50;
    uint32_t taken[] = {80, 20000, 20007};
    Pb__NodeUsage u = PB__NODE_USAGE__INIT;
    u.capacity = &capacity, u.used = &used, u.ports = taken, u.n_ports = 3;
    static const struct {
        uint32_t cpu, memory, disk, ports[2];
        enum fit fit;
    } cases[] = {
        {400, 256, 50, {81, 82}, FIT},    {401, 0, 0, {0}, FIT_CPU},
        {0, 257, 0, {0}, FIT_MEMORY},     {0, 0, 51, {0}, FIT_DISK},
        {UINT32_MAX, 0, 0, {0}, FIT_CPU}, {1, 1, 1, {80, 0}, FIT_PORT},
        {1, 1, 1, {20007, 0}, FIT_PORT},  {1, 1, 1, {81, 81}, FIT_PORT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Pb__Amount ask = PB__AMOUNT__INIT;
        ask.cpu = cases[i].cpu, ask.memory_mb = cases[i].memory, ask.disk_mb = cases[i].disk;
        Pb__Port ports[2] = {PB__PORT__INIT, PB__PORT__INIT}, *list[] = {&ports[0], &ports[1]};
        size_t n = 0;
        for (; n < 2 && cases[i].ports[n] > 0; n++)
            ports[n].value = cases[i].ports[n];
        cr_assert_eq(usage_fits(&u, &ask, list, n), cases[i].fit, "case %zu", i);
    }
}

Test(fit, what_is_not_asked_for_fits_on_a_node_that_shrank)
{
    Pb__Amount capacity = PB__AMOUNT__INIT, used = PB__AMOUNT__INIT, ask = PB__AMOUNT__INIT;
    used.cpu = 100;
    capacity.memory_mb = 10;
    ask.memory_mb = 10;
    Pb__NodeUsage u = PB__NODE_USAGE__INIT;
    u.capacity = &capacity, u.used = &used;
    cr_assert_eq(usage_fits(&u, &ask, NULL, 0), FIT);
}

static enum fit fit_of(uint32_t one, uint32_t two, const char *x, const char *y)
{
    struct arena *a = arena_new(1 << 20);
    Pb__Node node = PB__NODE__INIT;
    node_list_cores(a, &node, 3);
    node_add_device(a, &node, a_device(a, "acme/gpu/x1", "a b"));
    uint32_t used[] = {1};
    char *names[] = {arena_strdup(a, "acme/gpu/x1/a")};
    Pb__NodeUsage u = PB__NODE_USAGE__INIT;
    u.cores = used, u.n_cores = 1, u.devices = names, u.n_devices = 1;
    Pb__TaskGrant *g = a_grant(a, "main");
    grant_core(a, g, one);
    grant_core(a, g, two);
    if (x != NULL)
        grant_instance(a, g, "acme/gpu/x1", x);
    if (y != NULL)
        grant_instance(a, g, "acme/gpu/x1", y);
    enum fit f = grants_fit(&u, &node, &g, 1);
    arena_free(a);
    return f;
}

Test(fit, a_core_or_an_instance_is_there_and_free_and_given_once)
{
    cr_assert_eq(fit_of(0, 2, NULL, NULL), FIT);
    cr_assert_eq(fit_of(0, 1, NULL, NULL), FIT_CORES);
    cr_assert_eq(fit_of(0, 0, NULL, NULL), FIT_CORES);
    cr_assert_eq(fit_of(0, 3, NULL, NULL), FIT_CORES);
    cr_assert_eq(fit_of(0, 2, "b", NULL), FIT);
    cr_assert_eq(fit_of(0, 2, "a", NULL), FIT_DEVICES);
    cr_assert_eq(fit_of(0, 2, "b", "b"), FIT_DEVICES);
    cr_assert_eq(fit_of(0, 2, "c", NULL), FIT_DEVICES);
}
