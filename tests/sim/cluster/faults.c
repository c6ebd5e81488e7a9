/* What goes wrong, and when: each seed has its own mix, so that some runs meet much of one kind and
 * nothing of another. */
#include "base/err.h"
#include "world.h"
#include <string.h>

enum fault {
    KILL_DAEMON,
    STOP_DAEMON,
    HANG_DAEMON,
    POWER_LOSS,
    CUT,
    CUT_ONE_WAY,
    SLOW_DISK,
    FULL_DISK,
    CLOCK_JUMP,
    NODE_LOSS,
    KILL_WORKER,
    BAD_NETWORK,
    FAULTS_ALONE, /* what follows needs several servers */
    SLOW_LEADER = FAULTS_ALONE,
    TRANSFER,
    ROLLING_RESTART,
    REMOVE_SERVER,
    REPLACE_SERVER,
    FAULT_COUNT,
};

static struct {
    unsigned weights[FAULT_COUNT], total;
    uint64_t pause_us; /* mean, between two */
    struct weather fine;
    const struct process *lost_for_good; /* a node */
} mix;

static void on_fault(void *arg);

static void next_fault(void)
{
    sim_after(sim_about(mix.pause_us), NULL, on_fault, NULL, NULL);
}

void faults_begin(void)
{
    memset(&mix, 0, sizeof(mix));
    sim->weather.local_us = sim_between(20, 300);
    sim->weather.remote_us = sim_between(100, 5000);
    if (world->options.calm)
        return;
    for (int i = 0; i < (world->options.servers > 1 ? FAULT_COUNT : FAULTS_ALONE); i++)
        mix.total += mix.weights[i] = sim_chance(0.6) ? (unsigned)sim_between(1, 4) : 0;
    mix.pause_us = sim_between(2, 20) * 1000000;
    if (sim_chance(0.5))
        sim->weather.lost = 0.02 * prng_unit(&sim->prng);
    if (sim_chance(0.5))
        sim->weather.lost_local = 0.002 * prng_unit(&sim->prng);
    if (sim_chance(0.5))
        sim->weather.repeated = 0.1 * prng_unit(&sim->prng);
    if (sim_chance(0.3))
        sim->weather.failing = 0.02;
    mix.fine = sim->weather;
    if (mix.total > 0)
        next_fault();
}

static struct process *any_daemon(const char *with)
{
    for (int tries = 0; tries < 50; tries++) {
        struct process *p = &sim->processes[sim_below(sim->process_count)];
        bool ours =
            strcmp(p->service->name, "agent") == 0 || strcmp(p->service->name, "operator") == 0;
        if (p->self != NULL && !ours && (with == NULL || strstr(p->name, with) != NULL))
            return p;
    }
    return NULL;
}

static struct host *any_server(void)
{
    return world->server[sim_below(world->options.servers)];
}

/* ---- each has its end */

static void on_power(void *arg)
{
    struct host *h = arg;
    for (unsigned i = 0; i < sim->process_count; i++)
        if (sim->processes[i].host == h) {
            sim->processes[i].wanted = true;
            process_start(&sim->processes[i]);
        }
}

static void power_off(struct host *h)
{
    for (unsigned i = 0; i < sim->process_count; i++)
        if (sim->processes[i].host == h) {
            sim->processes[i].wanted = false;
            process_kill(&sim->processes[i]);
        }
    h->boots++;
}

static void power_loss(struct host *h)
{
    trace_note("power loss %s", h->name);
    power_off(h);
    disk_crash(h);
    sim_after(sim_between(1000000, 20000000), NULL, on_power, h, NULL);
}

/* A new, empty machine comes in its place. */
static void replace_server(void)
{
    unsigned i = (unsigned)sim_below(world->options.servers);
    struct host *h = world->server[i];
    if (!operators_may_lose(i, sim_chance(0.5)))
        return;
    trace_note("lost for good %s", h->name);
    power_off(h);
    disk_lose(h);
    sim_after(sim_between(1000000, 60000000), NULL, on_power, h, NULL);
}

static void on_mended(void *arg)
{
    net_heal();
    memset(sim->weather.cut, 0, sizeof(sim->weather.cut));
    trace_note("mended");
}

static void cut(bool both)
{
    struct host *a = any_server(), *b = &sim->hosts[sim_below(sim->host_count)];
    if (a == b)
        return;
    trace_note("cut %s %s %s", a->name, both ? "-" : "->", b->name);
    sim->weather.cut[a->number][b->number] = true;
    sim->weather.cut[b->number][a->number] = both;
    sim_after(sim_between(1000000, 40000000), NULL, on_mended, NULL, NULL);
}

static void on_disk_mended(void *arg)
{
    struct host *h = arg;
    h->disk_us = 500;
    h->disk_full = false;
    trace_note("disk mended %s", h->name);
}

static void disk(struct host *h, bool full)
{
    if (h == NULL)
        return;
    trace_note("disk %s %s", full ? "full" : "slow", h->name);
    if (full)
        h->disk_full = true;
    else
        h->disk_us = sim_between(10000, 1500000);
    sim_after(sim_between(1000000, 20000000), NULL, on_disk_mended, h, NULL);
}

static void on_node_back(void *arg)
{
    struct process *p = arg;
    p->wanted = true;
    process_start(p);
}

static void node_loss(void)
{
    struct process *p = world->agent[sim_below(world->options.nodes)];
    if (p->self == NULL)
        return;
    p->wanted = false;
    process_kill(p);
    if (mix.lost_for_good == NULL && sim_chance(0.2))
        mix.lost_for_good = p;
    else
        sim_after(sim_between(100000, 90000000), NULL, on_node_back, p, NULL);
}

static void on_fine(void *arg)
{
    memcpy(mix.fine.cut, sim->weather.cut, sizeof(mix.fine.cut));
    sim->weather = mix.fine;
}

static void bad_network(void)
{
    trace_note("bad network");
    sim->weather.lost = 0.2;
    sim->weather.lost_local = 0.02;
    sim->weather.remote_us *= 20;
    sim_after(sim_between(1000000, 15000000), NULL, on_fine, NULL, NULL);
}

static void hang(struct process *p)
{
    trace_note("hang %s", p->name);
    p->hung_until_us = sim->now_us + sim_between(100000, 8000000);
}

static void clock_jump(void)
{
    struct host *h = &sim->hosts[sim_below(sim->host_count)];
    h->wall_shift_ns = ((int64_t)sim_below(7200) - 3600) * 1000000000;
    trace_note("clock jump %s %llds", h->name, (long long)(h->wall_shift_ns / 1000000000));
}

static enum fault any_fault(void)
{
    uint64_t dice = sim_below(mix.total);
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (dice < mix.weights[i])
            return (enum fault)i;
        dice -= mix.weights[i];
    }
    return KILL_DAEMON;
}

static void cause(enum fault fault)
{
    struct process *p = any_daemon(fault == KILL_WORKER ? "worker" : NULL);
    switch (fault) {
    case KILL_DAEMON:
    case KILL_WORKER:
        if (p != NULL)
            process_kill(p);
        break;
    case STOP_DAEMON:
        if (p != NULL)
            process_stop(p);
        break;
    case HANG_DAEMON:
        if (p != NULL)
            hang(p);
        break;
    case POWER_LOSS:
        power_loss(any_server());
        break;
    case CUT:
    case CUT_ONE_WAY:
        cut(fault == CUT);
        break;
    case SLOW_DISK:
    case FULL_DISK:
        disk(any_server(), fault == FULL_DISK);
        break;
    case SLOW_LEADER:
        disk(operators_leader(), false);
        break;
    case TRANSFER:
        operators_transfer();
        break;
    case ROLLING_RESTART:
        operators_roll();
        break;
    case REMOVE_SERVER:
        operators_remove();
        break;
    case REPLACE_SERVER:
        replace_server();
        break;
    case CLOCK_JUMP:
        clock_jump();
        break;
    case NODE_LOSS:
        node_loss();
        break;
    default:
        bad_network();
    }
}

static void on_fault(void *arg)
{
    if (world->peace)
        return;
    world->verdict.faults++;
    cause(any_fault());
    next_fault();
}

void faults_end(void)
{
    on_mended(NULL);
    sim->weather.lost = sim->weather.lost_local = sim->weather.repeated = 0;
    sim->weather.failing = 0;
    sim->weather.remote_us = 500;
    sim->weather.local_us = 50;
    mix.fine = sim->weather;
    for (unsigned i = 0; i < sim->host_count; i++) {
        sim->hosts[i].disk_us = 500;
        sim->hosts[i].disk_full = false;
    }
    for (unsigned i = 0; i < sim->process_count; i++) {
        struct process *p = &sim->processes[i];
        p->wanted = p != mix.lost_for_good;
        if (p->wanted)
            process_start(p);
    }
}
