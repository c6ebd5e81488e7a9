#include "swim.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static uint8_t own_id[16] = {1}, other_id[16] = {2};

static struct swim *alone(void)
{
    char name[] = "n1.global";
    Pb__Member self = PB__MEMBER__INIT;
    self.name = name;
    self.region = (char *)"global";
    self.gossip_address = (char *)"10.0.0.1:4648";
    self.has_id = 1;
    self.id = (ProtobufCBinaryData){16, own_id};
    struct swim *s = swim_new(&self, &(struct swim_options){.seed = 1}, 1000);
    name[0] = 'x'; /* it was copied */
    return s;
}

static Pb__GossipPacket packet(Pb__GossipPacket__Kind kind)
{
    Pb__GossipPacket p = PB__GOSSIP_PACKET__INIT;
    p.has_version = p.has_kind = p.has_from_id = 1;
    p.version = SWIM_VERSION;
    p.kind = kind;
    p.from = (char *)"n2.global";
    p.from_address = (char *)"10.0.0.2:4648";
    p.from_id = (ProtobufCBinaryData){16, other_id};
    return p;
}

Test(swim, a_server_alone_knows_itself_alive_until_it_leaves)
{
    struct swim *s = alone();
    const Pb__Members *members = swim_members(s);
    cr_assert_eq(members->n_members, 1);
    cr_assert_str_eq(members->members[0]->name, "n1.global");
    cr_assert_str_eq(members->self, "n1.global");
    cr_assert_eq(members->members[0]->status, PB__MEMBER__STATUS__ALIVE);
    for (uint64_t now = 1000; now < 5000; now += 100)
        swim_tick(s, now);
    swim_clear(s);
    swim_leave(s, 5000);
    cr_assert(swim_has_left(s));
    cr_assert_eq(swim_members(s)->members[0]->status, PB__MEMBER__STATUS__LEFT);
    swim_check(s);
    swim_free(s);
    swim_free(NULL);
}

Test(swim, a_packet_of_another_version_or_without_a_sender_is_refused)
{
    struct swim *s = alone();
    struct reason why;
    Pb__GossipPacket p = packet(PB__GOSSIP_PACKET__KIND__PING);
    p.version = SWIM_VERSION + 1;
    cr_assert_not(swim_packet(s, &p, 1001, &why));
    cr_assert(strstr(why.text, "version 2") != NULL, "%s", why.text);
    p = packet(PB__GOSSIP_PACKET__KIND__PING);
    p.from = NULL;
    cr_assert_not(swim_packet(s, &p, 1001, &why));
    p = packet(PB__GOSSIP_PACKET__KIND__PING);
    p.from_address = NULL;
    cr_assert_not(swim_packet(s, &p, 1001, &why));
    p = packet(PB__GOSSIP_PACKET__KIND__PING);
    p.has_from_id = 0;
    cr_assert_not(swim_packet(s, &p, 1001, &why));
    swim_free(s);
}

Test(swim, a_rumour_that_could_not_be_shown_is_refused)
{
    struct swim *s = alone();
    struct reason why;
    char text[600];
    memset(text, 'a', sizeof text);
    text[599] = '\0';
    const char *const bad[] = {"", text, "two\nlines", "\x1b[31mred"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Pb__Member m = PB__MEMBER__INIT;
        Pb__Rumour r = PB__RUMOUR__INIT, *all = &r;
        Pb__GossipPacket p = packet(PB__GOSSIP_PACKET__KIND__NEWS);
        m.name = (char *)(uintptr_t)bad[i];
        m.has_id = 1;
        m.id = p.from_id;
        m.status = PB__MEMBER__STATUS__ALIVE;
        m.gossip_address = (char *)"10.0.0.2:4648";
        r.member = &m;
        p.rumours = &all;
        p.n_rumours = 1;
        cr_assert_not(swim_packet(s, &p, 1001, &why), "case %zu", i);
    }
    cr_assert_eq(swim_members(s)->n_members, 1);
    swim_free(s);
}

Test(swim, no_more_than_the_table_holds_are_taken_and_the_gone_make_room)
{
    struct swim *s = alone();
    struct reason why;
    size_t n;
    for (int i = 0; i < 1100; i++) {
        char name[32];
        uint8_t id[16] = {3, (uint8_t)i, (uint8_t)(i >> 8)};
        snprintf(name, sizeof name, "m%d.global", i);
        Pb__Member m = PB__MEMBER__INIT;
        Pb__Rumour r = PB__RUMOUR__INIT, *all = &r;
        Pb__GossipPacket p = packet(PB__GOSSIP_PACKET__KIND__NEWS);
        m.name = name;
        m.has_id = 1;
        m.id = (ProtobufCBinaryData){16, id};
        m.status = i == 3 ? PB__MEMBER__STATUS__FAILED : PB__MEMBER__STATUS__ALIVE;
        m.gossip_address = (char *)"10.0.0.2:4648";
        r.member = &m;
        p.rumours = &all;
        p.n_rumours = 1;
        cr_assert(swim_packet(s, &p, 1001, &why));
        const struct swim_effect *e = swim_effects(s, &n);
        cr_assert_eq(e[n - 1].kind, i <= 1023 ? SWIM_STATUS : SWIM_FULL, "member %d", i);
        swim_clear(s);
    }
    swim_check(s);
    cr_assert_eq(swim_members(s)->n_members, SWIM_MAX_MEMBERS);
    swim_free(s);
}

Test(swim, a_ping_meant_for_another_is_not_answered)
{
    struct swim *s = alone();
    struct reason why;
    size_t n;
    Pb__GossipPacket p = packet(PB__GOSSIP_PACKET__KIND__PING);
    p.target = (char *)"n9.global";
    cr_assert(swim_packet(s, &p, 1001, &why));
    swim_effects(s, &n);
    cr_assert_eq(n, 0);
    p.target = (char *)"n1.global";
    cr_assert(swim_packet(s, &p, 1001, &why));
    const struct swim_effect *e = swim_effects(s, &n);
    cr_assert_eq(n, 1);
    cr_assert_eq(e[0].packet->kind, PB__GOSSIP_PACKET__KIND__ACK);
    cr_assert_str_eq(e[0].address, "10.0.0.2:4648");
    swim_free(s);
}
