/* Two that know each other, by TLS. */
#include "tls_bed.h"
#include <criterion/criterion.h>
#include <string.h>

Test(tls, a_name_has_a_role_a_region_and_a_domain)
{
    static const struct {
        const char *text;
        enum tls_role role;
        const char *region, *domain;
    } good[] = {
        {"server.global.norn", TLS_SERVER, "global", "norn"},
        {"client.eu-west_1.norn", TLS_CLIENT, "eu-west_1", "norn"},
        {"server.a.norn.example.org", TLS_SERVER, "a", "norn.example.org"},
    };
    static const char *const bad[] = {
        "",
        "server",
        "server.",
        "server.norn",
        "server..norn",
        "server.eu.",
        "server.eu..org",
        "Server.eu.norn",
        "admin.eu.norn",
        "server.*.norn",
        "server.eu norn",
        ".server.eu.norn",
        "server.eu.norn.",
        "xserver.eu.norn",
        "server.\xc3\xa9.norn",
        "server.eu.no/rn",
        "server.0123456789012345678901234567890123456789012345678901234567890123456789.norn",
    };
    struct tls_name n;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char printed[TLS_NAME_SIZE];
        cr_assert(tls_name_parse(&n, good[i].text, strlen(good[i].text)), "%s", good[i].text);
        cr_assert_eq(n.role, good[i].role);
        cr_assert_str_eq(n.region, good[i].region);
        cr_assert_str_eq(n.domain, good[i].domain);
        tls_name_print(&n, printed);
        cr_assert_str_eq(printed, good[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_not(tls_name_parse(&n, bad[i], strlen(bad[i])), "%s", bad[i]);
    cr_assert_not(tls_name_parse(&n, "server.eu.norn\0.x", 17), "a NUL within");
}

Test(tls, a_region_is_what_can_stand_in_a_name)
{
    cr_assert(tls_region_valid("eu-west_1"));
    cr_assert_not(tls_region_valid(""));
    cr_assert_not(tls_region_valid("eu.west"));
    cr_assert_not(tls_region_valid("eu west"));
}

Test(tls, a_server_knows_who_asks)
{
    static const struct {
        const char *name, *region;
        unsigned kind;
    } peers[] = {
        {"server.eu.norn", "eu", PEER_SERVER},
        {"client.eu.norn", "eu", PEER_CLIENT},
        {"server.us.norn", "us", PEER_FOREIGN_SERVER},
    };
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        struct tls_bed *b = tls_bed_new();
        bed_serve(
            b, &(struct server_options){.peers = PEER_SERVER | PEER_CLIENT | PEER_FOREIGN_SERVER});
        bed_dial(b, peers[i].name, PEER_SERVER | PEER_FOREIGN_SERVER);
        bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000);
        bed_run(b);
        cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
        cr_assert_str_eq(b->peer_name, peers[i].name);
        cr_assert_str_eq(b->peer_region, peers[i].region);
        cr_assert_eq(b->peer_kind, peers[i].kind);
        cr_assert_eq(b->reports, 0, "%s", b->report);
        tls_bed_free(b);
    }
}

Test(tls, a_method_may_be_for_some_only)
{
    static const struct restriction restricted[] = {{SECRET, PEER_SERVER | PEER_LOCAL}, {0, 0}};
    static const struct {
        const char *name;
        Pb__Reply__Code code;
    } peers[] = {
        {"server.eu.norn", PB__REPLY__CODE__OK},
        {"client.eu.norn", PB__REPLY__CODE__DENIED},
    };
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        struct tls_bed *b = tls_bed_new();
        bed_serve(b, &(struct server_options){.restricted = restricted});
        bed_dial(b, peers[i].name, PEER_SERVER);
        bed_call(b, SECRET, PB__SERVICE__NAME__SELF, 10000);
        bed_run(b);
        cr_assert_eq(b->code, peers[i].code, "%s: %s", peers[i].name, b->reason);
        if (b->code == PB__REPLY__CODE__DENIED)
            cr_assert_str_eq(b->reason, "secret is not for client.eu.norn");
        bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000);
        bed_run(b);
        cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
        tls_bed_free(b);
    }
}

Test(tls, a_door_relays_for_those_it_is_for)
{
    static const struct {
        const char *name;
        unsigned relayed;
    } peers[] = {{"server.eu.norn", 1}, {"client.eu.norn", 0}};
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        struct tls_bed *b = tls_bed_new();
        bed_serve(b, &(struct server_options){.relay_peers = PEER_SERVER});
        bed_dial(b, peers[i].name, PEER_SERVER);
        bed_call(b, RELAYED, PB__SERVICE__NAME__JOBSTORE, 10000);
        bed_run(b);
        cr_assert_eq(b->relayed, peers[i].relayed);
        cr_assert_eq(b->code, peers[i].relayed ? PB__REPLY__CODE__OK : PB__REPLY__CODE__DENIED,
                     "%s", b->reason);
        tls_bed_free(b);
    }
}

/* Calls go on while certificates change; then the new ones are what peers see. */
Test(tls, new_certificates_are_taken_while_requests_go_on, .timeout = 60)
{
    struct tls_bed *b = tls_bed_new();
    struct reason why;
    bed_serve(b, &(struct server_options){0});
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 50; i++)
            bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000);
        struct tls_files fresh =
            bed_files(b, "fresh", &(struct wanted_cert){.dns_names = "server.eu.norn"});
        cr_assert_eq(tls_reload(b->server_tls, &fresh, &why), OK, "%s", why.text);
        bed_run(b);
        cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
        cr_assert(client_is_connected(b->client));
    }
    cr_assert_eq(b->answers, 20 * 50);
    cr_assert_eq(b->reports, 0, "%s", b->report);
    tls_bed_free(b);
}

/* As without TLS: see test_net.c. */
Test(tls, a_client_may_go_while_its_answer_arrives, .timeout = 60)
{
    struct tls_bed *b = tls_bed_new();
    bed_serve(b, &(struct server_options){0});
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    b->stop_at_request = true;
    for (int i = 0; i < 80; i++) {
        bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000);
        loop_run(b->l);
        bed_redial(b, PEER_SERVER);
    }
    tls_bed_free(b);
}

/* The other CA's, and the client's with it: only those who have new ones can talk then. */
Test(tls, a_reload_is_for_connections_to_come)
{
    struct tls_bed *b = tls_bed_new();
    struct reason why;
    char told[200], path[200], key[200];
    bed_serve(b, &(struct server_options){0});
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000);
    bed_run(b);
    struct certificate before = bed_cert(b, &(struct wanted_cert){.dns_names = "client.eu.norn"});
    struct certificate after =
        bed_cert(b, &(struct wanted_cert){.dns_names = "client.eu.norn", .foreign = true});
    stranger_calls(b, &before, told, sizeof(told));
    cr_assert_str_eq(told, "");
    struct tls_files fresh = bed_files(
        b, "fresh", &(struct wanted_cert){.dns_names = "server.eu.norn", .foreign = true});
    snprintf(path, sizeof(path), "%s/ca2.pem", b->dir);
    snprintf(key, sizeof(key), "%s/ca2-key.pem", b->dir);
    cr_assert_eq(certificate_write(&b->foreign_ca, path, key, true, &why), OK);
    fresh.ca = path;
    cr_assert_eq(tls_reload(b->server_tls, &fresh, &why), OK, "%s", why.text);
    stranger_calls(b, &before, told, sizeof(told));
    cr_assert_str_neq(told, "");
    stranger_calls(b, &after, told, sizeof(told));
    cr_assert_str_eq(told, "");
    bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000); /* the old connection */
    bed_run(b);
    cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
    certificate_free(&before);
    certificate_free(&after);
    tls_bed_free(b);
}

Test(tls, a_bad_new_certificate_leaves_the_old_one)
{
    struct tls_bed *b = tls_bed_new();
    struct reason why;
    bed_serve(b, &(struct server_options){0});
    struct tls_files other =
        bed_files(b, "other", &(struct wanted_cert){.dns_names = "server.us.norn"});
    cr_assert_eq(tls_reload(b->server_tls, &other, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "is of server.us.norn, and this daemon runs as server.eu.norn") !=
                  NULL,
              "%s", why.text);
    struct tls_files over = bed_files(
        b, "over", &(struct wanted_cert){.dns_names = "server.eu.norn", .from = -9, .until = -1});
    cr_assert_eq(tls_reload(b->server_tls, &over, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "was valid until") != NULL, "%s", why.text);
    bed_dial(b, "client.eu.norn", PEER_SERVER);
    bed_call(b, ECHO, PB__SERVICE__NAME__SELF, 10000);
    bed_run(b);
    cr_assert_eq(b->code, PB__REPLY__CODE__OK, "%s", b->reason);
    tls_bed_free(b);
}

Test(tls, plain_tcp_beyond_this_host_must_be_asked_for)
{
    static const struct {
        const char *addr;
        bool taken;
    } cases[] = {
        {"tcp://127.0.0.1:1", true},
        {"tcp://127.8.9.10:1", true},
        {"tcp://localhost:1", true},
        {"tcp://[::1]:1", true},
        {"tcp://10.0.0.1:1", false},
        {"tcp://0.0.0.0:1", false},
        {"tcp://*:1", false},
        {"tcp://:1", false},
        {"tcp://localhost.example:1", false},
        {"tcp://127.0.0.1.example:1", false},
        {"tcp://[::]:1", false},
        {"tcp4://10.0.0.1:1", false},
        {"ws://10.0.0.1:1/", false},
        {"tls+tcp://127.0.0.1:1", false}, /* no certificates */
    };
    struct loop *l = loop_new();
    struct client *c;
    struct reason why;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum err e = client_open(&c, l, cases[i].addr, &why);
        cr_assert_eq(e == OK, cases[i].taken, "%s: %s", cases[i].addr, e != OK ? why.text : "");
        if (e == OK)
            client_close(c);
    }
    struct net_security open_minded = {.allow_plain = true};
    net_secure(l, &open_minded);
    cr_assert_eq(client_open(&c, l, "tcp://127.0.0.2:1", &why), OK);
    client_close(c);
    cr_assert_eq(client_open(&c, l, "tcp://0.0.0.0:1", &why), OK, "%s", why.text);
    client_close(c);
    loop_free(l);
}
