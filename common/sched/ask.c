#include "sched/ask.h"
#include "sched/fit.h"
#include "base/prng.h"
#include <string.h>

#define DYNAMIC_PORTS (DYNAMIC_PORT_MAX - DYNAMIC_PORT_MIN + 1)

static void count_ports(struct ask *k, Pb__Network *const *networks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        k->fixed_count += networks[i]->n_reserved_ports;
        k->dynamic_count += networks[i]->n_dynamic_ports;
    }
}

static void collect_ports(struct ask *k, Pb__Network *const *networks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t p = 0; p < networks[i]->n_reserved_ports; p++)
            k->fixed[k->fixed_count++] = networks[i]->reserved_ports[p];
        for (size_t p = 0; p < networks[i]->n_dynamic_ports; p++)
            k->dynamic[k->dynamic_count++] = networks[i]->dynamic_ports[p];
    }
}

static void each_network(struct ask *k, const Pb__TaskGroup *group,
                         void (*visit)(struct ask *, Pb__Network *const *, size_t))
{
    visit(k, group->networks, group->n_networks);
    for (size_t i = 0; i < group->n_tasks; i++)
        if (group->tasks[i]->resources != NULL)
            visit(k, group->tasks[i]->resources->networks, group->tasks[i]->resources->n_networks);
}

static uint32_t add_capped(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static Pb__Amount *sum_amount(struct arena *a, const Pb__TaskGroup *group)
{
    Pb__Amount *sum = arena_array(a, Pb__Amount, 1);
    pb__amount__init(sum);
    sum->has_cpu = sum->has_memory_mb = sum->has_disk_mb = 1;
    if (group->ephemeral_disk != NULL)
        sum->disk_mb = group->ephemeral_disk->size_mb;
    for (size_t i = 0; i < group->n_tasks; i++) {
        const Pb__Resources *r = group->tasks[i]->resources;
        if (r == NULL)
            continue;
        sum->cpu = add_capped(sum->cpu, r->cpu);
        sum->memory_mb = add_capped(sum->memory_mb, r->memory_mb);
        sum->disk_mb = add_capped(sum->disk_mb, r->disk_mb);
    }
    return sum;
}

void ask_init(struct ask *k, struct arena *a, const Pb__TaskGroup *group,
              const struct pieces *pieces)
{
    *k = (struct ask){.amount = sum_amount(a, group), .pieces = pieces};
    each_network(k, group, count_ports);
    k->fixed = arena_array(a, const Pb__Port *, k->fixed_count + 1);
    k->dynamic = arena_array(a, const Pb__Port *, k->dynamic_count + 1);
    k->fixed_count = k->dynamic_count = 0;
    each_network(k, group, collect_ports);
    for (size_t i = 0; i < k->fixed_count; i++)
        for (size_t j = 0; j < i; j++)
            if (k->fixed[i]->value == k->fixed[j]->value)
                k->conflicting = true;
}

static bool is_taken(const struct taken_port *t, uint32_t port)
{
    for (; t != NULL; t = t->next)
        if (t->port == port)
            return true;
    return false;
}

size_t ask_taken_static(const struct ask *k, const struct fleet *f, uint32_t slot,
                        const struct taken_port *taken)
{
    for (size_t i = 0; i < k->fixed_count; i++) {
        uint32_t port = k->fixed[i]->value;
        if (!fleet_port_is_free(f, slot, port) || is_taken(taken, port))
            return i;
    }
    return k->fixed_count;
}

static uint32_t choose_dynamic(const struct fleet *f, uint32_t slot, const struct taken_port *taken,
                               uint64_t random)
{
    uint32_t start = (uint32_t)(random % DYNAMIC_PORTS);
    for (uint32_t i = 0; i < DYNAMIC_PORTS; i++) {
        uint32_t port = DYNAMIC_PORT_MIN + (start + i) % DYNAMIC_PORTS;
        if (fleet_port_is_free(f, slot, port) && !is_taken(taken, port))
            return port;
    }
    return 0;
}

static void take_port(struct arena *a, struct taken_port **taken, uint32_t port)
{
    struct taken_port *t = arena_array(a, struct taken_port, 1);
    *t = (struct taken_port){.next = *taken, .port = port};
    *taken = t;
}

static Pb__Port *make_port(struct arena *a, const Pb__Port *asked, uint32_t value)
{
    Pb__Port *p = arena_array(a, Pb__Port, 1);
    pb__port__init(p);
    p->label = asked->label;
    p->has_value = 1;
    p->value = value;
    p->has_to = asked->has_to;
    p->to = asked->to == -1 ? (int32_t)value : asked->to; /* -1: the same inside as outside */
    p->host_network = asked->host_network;
    return p;
}

bool ask_give_ports(const struct ask *k, struct arena *a, const struct fleet *f, uint32_t slot,
                    struct taken_port **taken, uint64_t seed, Pb__Port ***out, size_t *count)
{
    struct taken_port *before = *taken;
    Pb__Port **ports = arena_array(a, Pb__Port *, k->fixed_count + k->dynamic_count + 1);
    size_t n = 0;
    for (size_t i = 0; i < k->fixed_count; i++) {
        take_port(a, taken, k->fixed[i]->value);
        ports[n++] = make_port(a, k->fixed[i], k->fixed[i]->value);
    }
    struct prng random;
    prng_seed(&random, seed);
    for (size_t i = 0; i < k->dynamic_count; i++) {
        uint32_t port = choose_dynamic(f, slot, *taken, prng_next(&random));
        if (port == 0) {
            *taken = before;
            return false;
        }
        take_port(a, taken, port);
        ports[n++] = make_port(a, k->dynamic[i], port);
    }
    *out = ports;
    *count = n;
    return true;
}
