/* What networks of allocations are made of, before anything is made: addresses, what tasknet is
 * told, what nft is told, resolv.conf. */
#include "nodeagent/netns/portmap.h"
#include "nodeagent/network.h"
#include <criterion/criterion.h>
#include <string.h>

#define ID "0192f000-0000-7000-8000-aabbccddee01"

static struct subnet subnet_of(const char *text)
{
    struct subnet s;
    struct reason why;
    cr_assert_eq(subnet_parse(text, &s, &why), OK, "%s", why.text);
    return s;
}

Test(network, a_subnet_has_its_gateway_first_and_its_broadcast_last)
{
    char text[ADDRESS_TEXT_SIZE];
    const struct subnet s = subnet_of("172.26.64.0/20");
    address_format(subnet_gateway(&s), text);
    cr_expect_str_eq(text, "172.26.64.1");
    address_format(subnet_broadcast(&s), text);
    cr_expect_str_eq(text, "172.26.79.255");
}

Test(network, what_is_no_usable_subnet_is_refused_with_the_reason)
{
    static const char *const cases[][2] = {
        {"", "is not an IPv4 network"},
        {"172.26.64.0", "is not an IPv4 network"},
        {"172.26.64.0/", "is not an IPv4 network"},
        {"172.26.64.0/20x", "is not an IPv4 network"},
        {"172.26.0.0/15", "with 16 to 29 bits"},
        {"172.26.64.0/30", "with 16 to 29 bits"},
        {"172.26.64/20", "is not an IPv4 address"},
        {"fd00::/20", "is not an IPv4 address"},
        {"172.26.64.1/20", "is not the first address"},
        {"1172.1126.1164.1110/20", "is not an IPv4"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct subnet s;
        struct reason why = {""};
        cr_expect_eq(subnet_parse(cases[i][0], &s, &why), ERR_INVALID, "%s", cases[i][0]);
        cr_expect(strstr(why.text, cases[i][1]) != NULL, "%s: %s", cases[i][0], why.text);
    }
}

Test(network, every_address_but_the_first_two_and_the_last_is_given_once)
{
    const struct subnet s = subnet_of("10.1.2.0/29");
    struct addresses a;
    addresses_init(&a, &s);
    for (uint32_t i = 2; i < 7; i++)
        cr_expect_eq(addresses_take(&a), s.base + i);
    cr_expect_eq(addresses_take(&a), 0);
    addresses_give_back(&a, s.base + 4);
    cr_expect_eq(addresses_take(&a), s.base + 4);
    addresses_fini(&a);
}

Test(network, an_address_that_was_given_back_rests_while_there_are_others)
{
    const struct subnet s = subnet_of("10.1.2.0/29");
    struct addresses a;
    addresses_init(&a, &s);
    addresses_give_back(&a, addresses_take(&a));
    cr_expect_eq(addresses_take(&a), s.base + 3);
    addresses_fini(&a);
}

Test(network, what_was_kept_over_a_restart_is_not_given_again)
{
    const struct subnet s = subnet_of("10.1.2.0/29");
    struct addresses a;
    addresses_init(&a, &s);
    addresses_keep(&a, s.base + 3);
    addresses_keep(&a, s.base + 5);
    addresses_keep(&a, 0x7f000001); /* of another subnet, as the setting was then */
    cr_expect_eq(addresses_take(&a), s.base + 6);
    cr_expect_eq(addresses_take(&a), s.base + 2);
    cr_expect_eq(addresses_take(&a), s.base + 4);
    cr_expect_eq(addresses_take(&a), 0);
    addresses_give_back(&a, s.base + 1); /* the gateway's is nobody's */
    addresses_give_back(&a, 0);
    cr_expect_eq(addresses_take(&a), 0);
    addresses_fini(&a);
}

Test(network, a_place_is_read_back_as_it_was_written)
{
    static const char *const cases[] = {ID, ID "@10.1.2.3", ID ",8080:80,22001:22001",
                                        ID "@10.1.2.3,8080:80,22001:22001"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct netplace p;
        struct reason why;
        struct strbuf text = STRBUF_INIT;
        cr_assert_eq(netplace_parse(cases[i], &p, &why), OK, "%s", why.text);
        cr_expect_eq(p.port_count, i >= 2 ? 2 : 0);
        netplace_text(&p, &text);
        cr_expect_str_eq(strbuf_text(&text), cases[i]);
        strbuf_free(&text);
        netplace_fini(&p);
    }
}

Test(network, a_place_that_is_none_is_refused)
{
    static const char *const cases[] = {
        "",
        "lock",
        "..",
        ID "x",
        ID "@",
        ID "@0.0.0.0",
        ID "@10.1.2",
        ID "@10.1.2.3,",
        ID "@10.1.2.3,80",
        ID "@10.1.2.3,80:",
        ID "@10.1.2.3,0:80",
        ID "@10.1.2.3,80:65536",
        ID "@10.1.2.3,80:80x",
        ID "@10.1.2.3,80:80;81:81",
        ID "@10.1.2.3,-80:80",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct netplace p;
        struct reason why;
        cr_expect_eq(netplace_parse(cases[i], &p, &why), ERR_INVALID, "%s", cases[i]);
        cr_expect_null(p.ports);
    }
}

Test(network, a_port_is_one_element_for_each_protocol)
{
    const struct portmap m = {"norn", subnet_of("10.1.2.0/24")};
    struct netplace p;
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(netplace_parse(ID "@10.1.2.3,8080:80", &p, NULL), OK);
    portmap_add_ports(&out, &m, &p);
    cr_expect_str_eq(strbuf_text(&out), "add element ip norn ports { tcp . 8080 : 10.1.2.3 . 80, "
                                        "udp . 8080 : 10.1.2.3 . 80 }\n");
    strbuf_clear(&out);
    portmap_delete_port(&out, &m, "udp", 8080);
    cr_expect_str_eq(strbuf_text(&out), "delete element ip norn ports { udp . 8080 }\n");
    strbuf_free(&out);
    netplace_fini(&p);
}

Test(network, another_bridge_has_another_table)
{
    const struct portmap m = {"b2", subnet_of("10.1.2.0/24")};
    struct strbuf out = STRBUF_INIT;
    portmap_add_table(&out, &m);
    cr_expect_not_null(strstr(strbuf_text(&out), "add table ip norn-b2\n"));
    cr_expect_not_null(
        strstr(strbuf_text(&out), "leaving oifname != \"b2\" ip saddr 10.1.2.0/24  masquerade\n"));
    cr_expect_null(strstr(strbuf_text(&out), "ip norn "));
    strbuf_free(&out);
}

Test(network, a_name_that_could_be_more_than_a_name_is_no_bridge)
{
    static const char *const bad[] = {"", "1a", "a b", "a\"b", "a;b", "sixteen-letters-", "a/b"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_not(portmap_name_is_usable(bad[i]), "%s", bad[i]);
    cr_expect(portmap_name_is_usable("norn"));
    cr_expect(portmap_name_is_usable("br-15_letters-x"));
}

Test(network, ports_inside_are_those_that_the_job_names_else_the_same)
{
    static uint8_t id[16];
    Pb__Port ports[3], *list[3];
    Pb__Alloc alloc = PB__ALLOC__INIT;
    for (size_t i = 0; i < COUNT_OF(ports); i++) {
        pb__port__init(list[i] = &ports[i]);
        ports[i].value = 20000 + (uint32_t)i;
    }
    ports[1].to = 80;
    ports[2].to = -1;
    alloc.id = (ProtobufCBinaryData){16, id};
    alloc.ports = list;
    alloc.n_ports = COUNT_OF(ports);
    struct netplace p = network_place(&alloc, 0x0a010203);
    struct strbuf text = STRBUF_INIT;
    netplace_text(&p, &text);
    cr_expect_str_eq(strbuf_text(&text), "00000000-0000-0000-0000-000000000000@10.1.2.3,"
                                         "20000:20000,20001:80,20002:20002");
    strbuf_free(&text);
    netplace_fini(&p);
}

static void expect_resolv(const Pb__Dns *dns, const char *host, const char *expected)
{
    struct strbuf out = STRBUF_INIT;
    network_resolv(&out, dns, host);
    cr_expect(strcmp(strbuf_text(&out), expected) == 0, "%s", strbuf_text(&out));
    strbuf_free(&out);
}

Test(network, what_the_job_does_not_say_of_dns_is_the_hosts)
{
    static const char host[] = "# made by hand\nnameserver 10.0.0.1\nnameserver\t10.0.0.2\n"
                               "search a.example b.example\nsortlist 10.0.0.0\noptions ndots:3";
    char *servers[] = {(char[]){"192.0.2.53"}}, *searches[] = {(char[]){"c"}, (char[]){"d"}};
    Pb__Dns dns = PB__DNS__INIT;
    expect_resolv(NULL, host,
                  "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example b.example\n"
                  "options ndots:3\n");
    dns.servers = servers;
    dns.n_servers = 1;
    dns.searches = searches;
    dns.n_searches = 2;
    expect_resolv(&dns, host, "nameserver 192.0.2.53\nsearch c d\noptions ndots:3\n");
    expect_resolv(NULL, "", "");
}

Test(network, a_resolver_of_the_hosts_own_is_known)
{
    cr_expect(network_resolv_is_stub("nameserver 127.0.0.53\noptions edns0\n"));
    cr_expect_not(network_resolv_is_stub("nameserver 10.0.0.1\n"));
    cr_expect_not(network_resolv_is_stub("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"));
    cr_expect_not(network_resolv_is_stub(""));
}
