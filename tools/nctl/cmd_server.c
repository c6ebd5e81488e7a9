/* Servers: members. */
#include "client.h"
#include "base/err.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "127.0.0.1:4647" of the region's leader is the member with that address and RPC port. */
static bool is_leader(const json_t *member, const char *leader)
{
    const json_t *tags = value_at(member, "Tags");
    const char *host =
        *text_at(tags, "rpc_addr") != '\0' ? text_at(tags, "rpc_addr") : text_at(member, "Addr");
    return *leader != '\0' && strcmp(leader, show("%s:%s", host, text_at(tags, "port"))) == 0;
}

static void add_member(struct table *t, const json_t *m, const char *leader, bool detailed)
{
    const json_t *tags = value_at(m, "Tags");
    const char *port = show("%lld", (long long)number_at(m, "Port"));
    if (!detailed) {
        TABLE_ROW(t, text_at(m, "Name"), text_at(m, "Addr"), port, text_at(m, "Status"),
                  is_leader(m, leader) ? "true" : "false",
                  show("%lld", (long long)number_at(m, "ProtocolCur")), text_at(tags, "build"),
                  text_at(tags, "dc"), text_at(tags, "region"));
        return;
    }
    struct strbuf all = STRBUF_INIT;
    size_t count;
    const char **keys = sorted_keys(tags, &count);
    for (size_t i = 0; i < count; i++)
        strbuf_printf(&all, "%s%s=%s", i > 0 ? "," : "", keys[i], text_at(tags, keys[i]));
    TABLE_ROW(t, text_at(m, "Name"), text_at(m, "Addr"), port, strbuf_text(&all));
    strbuf_free(&all);
    free(keys);
}

static void print_members(const struct args *args, const json_t *members, const char *leader,
                          bool colors)
{
    bool detailed = args_has(args, "detailed");
    struct table t;
    size_t i;
    json_t *member;
    table_init(&t,
               detailed ? "Name|Address|Port|Tags"
                        : "Name|Address|Port|Status|Leader|Protocol|Build|Datacenter|Region",
               colors);
    json_array_foreach((json_t *)members, i, member) add_member(&t, member, leader, detailed);
    table_print(&t, stdout);
    table_free(&t);
}

static int run_members(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a, leader = {0};
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Error querying servers", "/v1/agent/members", NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else if (client_get(c, &leader, "/v1/status/leader", NULL))
            print_members(args, value_at(a.json, "Members"),
                          json_is_string(leader.json) ? json_string_value(leader.json) : "",
                          client_colors(c));
        else
            code = EXIT_ERROR;
    }
    answer_free(&a);
    answer_free(&leader);
    client_close(c);
    return code;
}

static const struct flag members_flags[] = {
    {"detailed", FLAG_BOOL, NULL, "all that a server says of itself"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

const struct command commands_server[] = {
    {"server members", "server-members", "", "the servers and how they are", NULL, members_flags, 0,
     0, run_members},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
