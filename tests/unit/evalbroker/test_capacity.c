#include "evalbroker/capacity.h"
#include <criterion/criterion.h>
#include <string.h>

struct bed {
    struct capacity *c;
    uint64_t index;
};

static void node_id(uint8_t id[16], uint8_t n)
{
    memset(id, 0, 16);
    id[15] = n;
}

static void node(struct bed *b, uint8_t n, const char *class, Pb__Node__Status status)
{
    uint8_t id[16];
    node_id(id, n);
    Pb__Node m = PB__NODE__INIT;
    m.has_id = 1;
    m.id = (ProtobufCBinaryData){16, id};
    m.computed_class = (char *)class;
    m.status = status;
    m.modify_index = ++b->index;
    capacity_put_node(b->c, &m);
    capacity_check(b->c);
}

static void put_usage(struct bed *b, uint8_t n, uint32_t used_cpu, uint32_t port,
                      uint64_t freed_index)
{
    uint8_t id[16];
    node_id(id, n);
    Pb__Amount total = PB__AMOUNT__INIT, used = PB__AMOUNT__INIT;
    total.cpu = 1000;
    used.cpu = used_cpu;
    Pb__NodeUsage m = PB__NODE_USAGE__INIT;
    m.has_node_id = 1;
    m.node_id = (ProtobufCBinaryData){16, id};
    m.capacity = &total;
    m.used = &used;
    m.n_ports = port != 0;
    m.ports = &port;
    m.modify_index = ++b->index;
    m.freed_index = freed_index;
    capacity_put_usage(b->c, &m);
    capacity_check(b->c);
}

static void usage(struct bed *b, uint8_t n, uint32_t used_cpu, uint32_t port)
{
    put_usage(b, n, used_cpu, port, 0); /* as of an older release */
}

static void usage_freed(struct bed *b, uint8_t n, uint32_t used_cpu, uint64_t freed_index)
{
    put_usage(b, n, used_cpu, 0, freed_index);
}

static uint64_t freed(struct bed *b, const char *class, bool eligible, bool escaped, uint64_t since)
{
    Pb__ClassEligible k = PB__CLASS_ELIGIBLE__INIT, *list = &k;
    k.class_ = (char *)class;
    k.eligible = eligible;
    struct findings *f = findings_new(b->c, &list, class != NULL);
    uint64_t at = capacity_freed_after(b->c, f, escaped, since);
    findings_free(b->c, f);
    return at;
}

Test(capacity, a_new_node_that_is_ready_is_capacity)
{
    struct bed b = {.c = capacity_new()};
    node(&b, 1, "a", PB__NODE__STATUS__DOWN);
    cr_assert_eq(capacity_last_freed(b.c), 0);
    node(&b, 1, "a", PB__NODE__STATUS__READY);
    cr_assert_eq(capacity_last_freed(b.c), 2);
    node(&b, 1, "a", PB__NODE__STATUS__READY);
    cr_assert_eq(capacity_last_freed(b.c), 2, "only the change to ready counts");
    node(&b, 1, "b", PB__NODE__STATUS__READY);
    cr_assert_eq(capacity_last_freed(b.c), 4, "another class is news");
    capacity_free(b.c);
}

Test(capacity, only_what_shrinks_is_capacity)
{
    struct bed b = {.c = capacity_new()};
    node(&b, 1, "a", PB__NODE__STATUS__READY);
    usage(&b, 1, 500, 8080);
    uint64_t before = capacity_last_freed(b.c);
    usage(&b, 1, 600, 8080);
    cr_assert_eq(capacity_last_freed(b.c), before);
    usage(&b, 1, 550, 8080);
    cr_assert_eq(capacity_last_freed(b.c), b.index);
    usage(&b, 1, 550, 9090);
    cr_assert_eq(capacity_last_freed(b.c), b.index, "a port was given back");
    before = b.index;
    node(&b, 1, "a", PB__NODE__STATUS__DOWN);
    usage(&b, 1, 0, 0);
    cr_assert_eq(capacity_last_freed(b.c), before, "a node that is down offers nothing");
    node(&b, 1, "a", PB__NODE__STATUS__READY);
    cr_assert_eq(capacity_last_freed(b.c), b.index);
    capacity_free(b.c);
}

Test(capacity, what_was_taken_and_given_back_between_two_looks_is_capacity)
{
    struct bed b = {.c = capacity_new()};
    node(&b, 1, "a", PB__NODE__STATUS__READY);
    usage(&b, 1, 500, 0);
    usage_freed(&b, 1, 500, b.index + 1);
    cr_assert_eq(capacity_last_freed(b.c), b.index);
    uint64_t before = b.index;
    usage_freed(&b, 1, 600, before);
    cr_assert_eq(capacity_last_freed(b.c), before, "nothing was given back since");
    capacity_free(b.c);
}

Test(capacity, a_class_found_unfit_wakes_nobody_but_the_escaped)
{
    struct bed b = {.c = capacity_new()};
    node(&b, 1, "a", PB__NODE__STATUS__READY);
    node(&b, 2, "b", PB__NODE__STATUS__READY);
    cr_assert_eq(freed(&b, "b", true, false, 0), 2);
    cr_assert_eq(freed(&b, "b", false, false, 0), 1, "class a was never looked at");
    cr_assert_eq(freed(&b, "b", false, false, 1), 0);
    cr_assert_eq(freed(&b, "b", false, true, 1), 2);
    cr_assert_eq(freed(&b, NULL, false, false, 2), 0);
    usage(&b, 1, 100, 0);
    cr_assert_eq(freed(&b, "a", false, false, 2), 0);
    cr_assert_eq(freed(&b, "b", false, false, 2), 3, "its free room was not known before");
    capacity_free(b.c);
}

Test(capacity, nodes_missing_in_a_listing_are_gone)
{
    struct bed b = {.c = capacity_new()};
    for (uint8_t n = 1; n < 100; n++)
        node(&b, n, n % 2 ? "a" : "b", PB__NODE__STATUS__READY);
    capacity_reload_begin(b.c);
    node(&b, 7, "a", PB__NODE__STATUS__READY);
    capacity_reload_end(b.c);
    capacity_check(b.c);
    cr_assert_eq(freed(&b, "x", false, false, 97), 99, "of class a, which node 7 keeps alive");
    uint8_t id[16];
    node_id(id, 7);
    capacity_drop_node(b.c, id);
    cr_assert_eq(freed(&b, "x", false, false, 0), 0);
    capacity_free(b.c);
}
