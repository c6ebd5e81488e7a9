#include "nodeagent/forward_target.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static Pb__Port http = PB__PORT__INIT, db = PB__PORT__INIT;
static char http_label[] = "http", db_label[] = "db", address[] = "172.26.64.5";
static Pb__Port *ports[] = {&http, &db};
static Pb__Alloc alloc = PB__ALLOC__INIT;
static Pb__NetworkStatus own = PB__NETWORK_STATUS__INIT, none = PB__NETWORK_STATUS__INIT;

static void set_up(void)
{
    http.label = http_label;
    http.value = 20001;
    http.to = 8080;
    db.label = db_label;
    db.value = 20002;
    alloc.n_ports = 2;
    alloc.ports = ports;
    own.address = address;
}

TestSuite(forward, .init = set_up);

Test(forward, only_what_is_the_allocations_is_reached)
{
    static const struct {
        const Pb__NetworkStatus *network;
        const char *wanted, *addresses, *port; /* port NULL: refused */
    } cases[] = {
        {NULL, "http", "10.0.0.7 127.0.0.1", "20001"},
        {NULL, "20002", "10.0.0.7 127.0.0.1", "20002"},
        {NULL, "8080", "", NULL},
        {NULL, "22", "", NULL},
        {NULL, "ssh", "", NULL},
        {NULL, "0", "", NULL},
        {NULL, "", "", NULL},
        {NULL, "-1", "", NULL},
        {&own, "http", "172.26.64.5", "8080"},
        {&own, "db", "172.26.64.5", "20002"},
        {&own, "5432", "172.26.64.5", "5432"},
        {&own, "65536", "", NULL},
        {&own, "80x", "", NULL},
        {&none, "http", "", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct forward_target t;
        struct reason why = {""};
        char addresses[64];
        enum err e =
            forward_target_find(&alloc, cases[i].network, "10.0.0.7", cases[i].wanted, &t, &why);
        cr_assert_eq(e == OK, cases[i].port != NULL, "case %zu: %s", i, why.text);
        if (e != OK) {
            cr_expect(why.text[0] != '\0', "case %zu", i);
            continue;
        }
        snprintf(addresses, sizeof addresses, "%s%s%s", t.addresses[0],
                 t.addresses[1] != NULL ? " " : "", t.addresses[1] != NULL ? t.addresses[1] : "");
        cr_expect_str_eq(addresses, cases[i].addresses, "case %zu", i);
        cr_expect_str_eq(t.port, cases[i].port, "case %zu", i);
    }
}

Test(forward, a_node_that_is_loopback_is_tried_once)
{
    struct forward_target t;
    struct reason why;
    cr_assert_eq(forward_target_find(&alloc, NULL, "127.0.0.1", "db", &t, &why), OK);
    cr_expect_str_eq(t.addresses[0], "127.0.0.1");
    cr_expect_null(t.addresses[1]);
}
