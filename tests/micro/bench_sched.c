/* How fast the pure scheduler is: `meson test --benchmark sched`, or run it with NODES, and NUMBER
 * of the one line that it shall print (to look at with perf). */
#include "base/arena.h"
#include "base/clock.h"
#include "base/prng.h"
#include "sched/sched.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* of one core, whatever else runs */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_node(struct fleet *f, struct prng *r, uint32_t i)
{
    Pb__Node n = PB__NODE__INIT;
    Pb__DriverInfo d = PB__DRIVER_INFO__INIT, *drivers[] = {&d};
    Pb__KeyValue arch = PB__KEY_VALUE__INIT, rack = PB__KEY_VALUE__INIT,
                 shelf = PB__KEY_VALUE__INIT, *attributes[] = {&arch, &rack, &shelf};
    uint8_t id[ID_SIZE];
    for (size_t k = 0; k < ID_SIZE; k++)
        id[k] = (uint8_t)prng_next(r);
    char name[32], rack_name[32], shelf_name[32];
    snprintf(name, sizeof(name), "n%u", i);
    snprintf(rack_name, sizeof(rack_name), "r%u", i % 20);
    snprintf(shelf_name, sizeof(shelf_name), "s%u", i % 500);
    n.has_id = 1;
    n.id = (ProtobufCBinaryData){ID_SIZE, id};
    n.name = name;
    n.datacenter = (char *)"dc1";
    n.computed_class = (char *)"v1:1";
    n.status = PB__NODE__STATUS__READY;
    d.name = (char *)"mock";
    d.detected = d.healthy = 1;
    n.drivers = drivers, n.n_drivers = 1;
    arch.key = (char *)"cpu.arch", arch.value = (char *)"amd64";
    rack.key = (char *)"rack", rack.value = rack_name;
    shelf.key = (char *)"shelf", shelf.value = shelf_name;
    n.attributes = attributes, n.n_attributes = 3;
    Pb__Amount total = PB__AMOUNT__INIT;
    total.cpu = 16000, total.memory_mb = 65536, total.disk_mb = 1000000;
    n.total = &total;
    fleet_set_node(f, &n);
}

enum wish { PORT = 1, SPREAD = 2, AFFINITY = 4, PROPERTY = 8 };

static void measure(struct fleet *f, uint32_t count, unsigned wishes, const char *what)
{
    Pb__Spread spread = PB__SPREAD__INIT, *spreads[] = {&spread};
    Pb__Affinity affinity = PB__AFFINITY__INIT, *affinities[] = {&affinity};
    Pb__Constraint property = PB__CONSTRAINT__INIT;
    Pb__Task task = PB__TASK__INIT, *tasks[] = {&task};
    Pb__Resources resources = PB__RESOURCES__INIT;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT, *groups[] = {&group};
    Pb__Network network = PB__NETWORK__INIT, *networks[] = {&network};
    Pb__Port port = PB__PORT__INIT, *ports[] = {&port};
    Pb__Constraint constraint = PB__CONSTRAINT__INIT, *constraints[] = {&constraint, &property};
    Pb__Job job = PB__JOB__INIT;
    char *datacenters[] = {(char *)"dc1"};
    Pb__JobView view = PB__JOB_VIEW__INIT;
    Pb__Eval eval = PB__EVAL__INIT;
    uint8_t id[ID_SIZE] = {1};
    resources.cpu = 10, resources.memory_mb = 10;
    task.name = (char *)"t", task.driver = (char *)"mock", task.resources = &resources;
    group.name = (char *)"g", group.tasks = tasks, group.n_tasks = 1, group.count = count;
    port.label = (char *)"http";
    network.dynamic_ports = ports, network.n_dynamic_ports = 1;
    group.networks = networks, group.n_networks = (wishes & PORT) != 0;
    spread.attribute = (char *)"${attr.rack}", spread.weight = 50;
    group.spreads = spreads, group.n_spreads = (wishes & SPREAD) != 0;
    affinity.l_target = (char *)"${attr.shelf}", affinity.operand = (char *)"regexp";
    affinity.r_target = (char *)"^s[0-9]$", affinity.weight = 50;
    group.affinities = affinities, group.n_affinities = (wishes & AFFINITY) != 0;
    property.l_target = (char *)"${attr.shelf}", property.operand = (char *)"distinct_property";
    property.r_target = (char *)"100";
    constraint.l_target = (char *)"${attr.cpu.arch}", constraint.r_target = (char *)"amd64";
    job.id = (char *)"web", job.type = (char *)"service";
    job.datacenters = datacenters, job.n_datacenters = 1;
    job.task_groups = groups, job.n_task_groups = 1;
    job.constraints = constraints, job.n_constraints = wishes & PROPERTY ? 2 : 1;
    view.job = &job;
    eval.id = (ProtobufCBinaryData){ID_SIZE, id};
    eval.job_id = job.id;
    struct sched_options o = {.max_changes = count};

    uint64_t plans = 0, placed = 0;
    double start = now_s(), took;
    do {
        struct arena *a = arena_new((size_t)1 << 30);
        placed += sched_plan(a, f, &view, &eval, plans, &o)->n_placements;
        arena_free(a);
        plans++;
    } while ((took = now_s() - start) < 1);
    printf("%-48s %9.0f placements/s %9.0f plans/s\n", what, (double)placed / took,
           (double)plans / took);
}

static const struct {
    uint32_t count;
    unsigned wishes;
    const char *what;
} cases[] = {
    {20000, 0, "one job of 20,000"},
    {20000, PORT, "... with a dynamic port"},
    {20000, SPREAD, "... with spread"},
    {20000, SPREAD | AFFINITY | PROPERTY, "... with spread, affinity and distinct_property"},
    {1000, SPREAD | AFFINITY | PROPERTY, "jobs of 1,000, all three"},
    {100, 0, "jobs of 100"},
    {1, 0, "jobs of one"},
};

int main(int argc, char **argv)
{
    uint32_t nodes = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 5000;
    size_t only = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct fleet *f = fleet_new();
    struct prng r;
    prng_seed(&r, 1);
    for (uint32_t i = 0; i < nodes; i++)
        add_node(f, &r, i);
    fleet_set_index(f, 1);
    printf("%u nodes\n", nodes);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (only == 0 || only == i + 1)
            measure(f, cases[i].count, cases[i].wishes, cases[i].what);
    fleet_free(f);
    return 0;
}
