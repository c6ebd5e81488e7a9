#include "portmap.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TABLE_SIZE 32

/* An interface has at most 15 bytes. */
bool portmap_name_is_usable(const char *bridge)
{
    size_t len = strlen(bridge);
    if (len == 0 || len > 15 || !isalpha((unsigned char)bridge[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!isalnum((unsigned char)bridge[i]) && bridge[i] != '-' && bridge[i] != '_')
            return false;
    return true;
}

/* Two agents on one machine have two bridges, and must not clear one another's ports. */
static void table_of(const struct portmap *m, char out[TABLE_SIZE])
{
    bool usual = strcmp(m->bridge, "norn") == 0;
    snprintf(out, TABLE_SIZE, "ip norn%s%.15s", usual ? "" : "-", usual ? "" : m->bridge);
}

static void add_chain(struct strbuf *out, const char *table, const char *name, const char *hook)
{
    strbuf_printf(out, "add chain %s %s { type nat hook %s; policy accept; }\n", table, name, hook);
    strbuf_printf(out, "flush chain %s %s\n", table, name);
}

static void add_subnet(struct strbuf *out, const struct subnet *s)
{
    char base[ADDRESS_TEXT_SIZE];
    address_format(s->base, base);
    strbuf_printf(out, "%s/%u", base, s->bits);
}

/* A packet that comes back to where its answer would not pass us looks as if we had sent it. */
static void add_leaving(struct strbuf *out, const struct portmap *m, const char *table)
{
    const struct {
        const char *to;
        const char *condition;
    } rules[] = {{"==", "ct status dnat"}, {"!=", ""}};
    strbuf_printf(out, "add rule %s leaving oifname \"%s\" ip saddr 127.0.0.0/8 masquerade\n",
                  table, m->bridge);
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        strbuf_printf(out, "add rule %s leaving oifname %s \"%s\" ip saddr ", table, rules[i].to,
                      m->bridge);
        add_subnet(out, &m->subnet);
        strbuf_printf(out, " %s masquerade\n", rules[i].condition);
    }
}

void portmap_add_table(struct strbuf *out, const struct portmap *m)
{
    static const char map[] = "fib daddr type local dnat ip to meta l4proto . th dport map @ports";
    char table[TABLE_SIZE];
    table_of(m, table);
    strbuf_printf(out, "add table %s\n", table);
    strbuf_printf(out,
                  "add map %s ports { type inet_proto . inet_service : ipv4_addr . inet_service; "
                  "}\n",
                  table);
    add_chain(out, table, "arriving", "prerouting priority -100");
    add_chain(out, table, "sent", "output priority -100");
    add_chain(out, table, "leaving", "postrouting priority 100");
    strbuf_printf(out, "add rule %s arriving %s\n", table, map);
    strbuf_printf(out, "add rule %s sent %s\n", table, map);
    add_leaving(out, m, table);
}

void portmap_add_ports(struct strbuf *out, const struct portmap *m, const struct netplace *p)
{
    char table[TABLE_SIZE], address[ADDRESS_TEXT_SIZE];
    table_of(m, table);
    address_format(p->address, address);
    for (size_t i = 0; p->address != 0 && i < p->port_count; i++)
        strbuf_printf(out, "add element %s ports { tcp . %u : %s . %u, udp . %u : %s . %u }\n",
                      table, p->ports[i].node, address, p->ports[i].inside, p->ports[i].node,
                      address, p->ports[i].inside);
}

void portmap_clear_ports(struct strbuf *out, const struct portmap *m)
{
    char table[TABLE_SIZE];
    table_of(m, table);
    strbuf_printf(out, "flush map %s ports\n", table);
}

void portmap_delete_port(struct strbuf *out, const struct portmap *m, const char *protocol,
                         uint16_t port)
{
    char table[TABLE_SIZE];
    table_of(m, table);
    strbuf_printf(out, "delete element %s ports { %s . %u }\n", table, protocol, port);
}
