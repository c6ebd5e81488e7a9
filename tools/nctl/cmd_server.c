/* Servers: members, who joins and who leaves; regions. */
#include "client.h"
#include "base/err.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_REGIONS 256

/* A region, and who leads it: "127.0.0.1:4647". */
struct leader {
    const char *region;
    char address[160];
};

struct leaders {
    struct leader all[MOST_REGIONS];
    size_t count;
};

/* The leader of a member's region is the member with that address and RPC port. */
static bool is_leader(const json_t *member, const struct leaders *leaders)
{
    const json_t *tags = value_at(member, "Tags");
    const char *host =
        *text_at(tags, "rpc_addr") != '\0' ? text_at(tags, "rpc_addr") : text_at(member, "Addr");
    const char *address = show("%s:%s", host, text_at(tags, "port"));
    for (size_t i = 0; i < leaders->count; i++)
        if (strcmp(leaders->all[i].region, text_at(tags, "region")) == 0)
            return strcmp(leaders->all[i].address, address) == 0;
    return false;
}

static void add_member(struct table *t, const json_t *m, const struct leaders *leaders,
                       bool detailed)
{
    const json_t *tags = value_at(m, "Tags");
    const char *port = show("%lld", (long long)number_at(m, "Port"));
    if (!detailed) {
        TABLE_ROW(t, text_at(m, "Name"), text_at(m, "Addr"), port, text_at(m, "Status"),
                  is_leader(m, leaders) ? "true" : "false",
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

static void print_members(const struct args *args, const json_t *members,
                          const struct leaders *leaders, bool colors)
{
    bool detailed = args_has(args, "detailed");
    struct table t;
    size_t i;
    json_t *member;
    table_init(&t,
               detailed ? "Name|Address|Port|Tags"
                        : "Name|Address|Port|Status|Leader|Protocol|Build|Datacenter|Region",
               colors);
    json_array_foreach((json_t *)members, i, member) add_member(&t, member, leaders, detailed);
    table_print(&t, stdout);
    table_free(&t);
}

/* The regions of all servers that have not left, each once. */
static void find_regions(const json_t *members, struct leaders *out)
{
    size_t i;
    json_t *member;
    json_array_foreach((json_t *)(uintptr_t)members, i, member)
    {
        const char *region = text_at(value_at(member, "Tags"), "region");
        size_t known = 0;
        while (known < out->count && strcmp(out->all[known].region, region) != 0)
            known++;
        if (known == out->count && known < MOST_REGIONS &&
            strcmp(text_at(member, "Status"), "left") != 0)
            out->all[out->count++].region = region;
    }
}

/* Asks each region. What went wrong is added to errors; returns how often something did. */
static size_t find_leaders(struct client *c, struct leaders *leaders, struct strbuf *errors)
{
    size_t wrong = 0;
    for (size_t i = 0; i < leaders->count; i++) {
        struct leader *l = &leaders->all[i];
        struct strbuf query = STRBUF_INIT;
        struct answer a = {0};
        query_add(&query, "region", l->region);
        bool answered = client_get(c, &a, "/v1/status/leader", strbuf_text(&query));
        if (answered && json_is_string(a.json))
            snprintf(l->address, sizeof l->address, "%s", json_string_value(a.json));
        else if (++wrong > 0)
            strbuf_printf(errors, "\t* Region \"%s\": Unexpected response code: %ld (%s)\n",
                          l->region, a.status, strbuf_text(&a.text));
        answer_free(&a);
        strbuf_free(&query);
    }
    return wrong;
}

static int show_members(const struct args *args, struct client *c, const json_t *members)
{
    struct leaders leaders = {.count = 0};
    struct strbuf errors = STRBUF_INIT;
    find_regions(members, &leaders);
    size_t wrong = find_leaders(c, &leaders, &errors);
    print_members(args, members, &leaders, client_colors(c));
    if (wrong > 0) {
        printf("\n");
        fprintf(stderr, "Error determining leaders: %zu error%s occurred:\n%s\n\n", wrong,
                wrong == 1 ? "" : "s", strbuf_text(&errors));
    }
    strbuf_free(&errors);
    return wrong > 0 ? EXIT_ERROR : EXIT_OK;
}

static int run_members(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Error querying servers", "/v1/agent/members", NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else
            code = show_members(args, c, value_at(a.json, "Members"));
    }
    answer_free(&a);
    client_close(c);
    return code;
}

/* ---- join, force-leave, regions */

static int run_join(const struct args *args)
{
    struct client *c = client_open(args);
    struct strbuf query = STRBUF_INIT;
    struct answer a = {0};
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    for (int i = 0; i < args->count; i++)
        query_add(&query, "address", args->items[i]);
    if (client_call(c, "PUT", "/v1/agent/join", strbuf_text(&query), NULL, &a)) {
        long long joined = (long long)number_at(a.json, "num_joined");
        if (a.status != 200)
            answer_refused(&a, "joining");
        else if (joined == 0)
            fprintf(stderr, "Error joining: failed joining: %s\n", text_at(a.json, "error"));
        else {
            printf("Joined %lld servers successfully\n", joined);
            code = EXIT_OK;
        }
    }
    answer_free(&a);
    strbuf_free(&query);
    client_close(c);
    return code;
}

static int run_force_leave(const struct args *args)
{
    struct client *c = client_open(args);
    struct strbuf query = STRBUF_INIT;
    struct answer a = {0};
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    query_add(&query, "node", args->items[0]);
    if (client_call(c, "PUT", "/v1/agent/force-leave", strbuf_text(&query), NULL, &a))
        code = a.status == 200 ? EXIT_OK : answer_refused(&a, "force-leaving server");
    answer_free(&a);
    strbuf_free(&query);
    client_close(c);
    return code;
}

static int run_regions(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    size_t i;
    json_t *region;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Error querying regions", "/v1/regions", NULL)) {
        code = EXIT_OK;
        if (args_has(args, "json"))
            print_json(a.json);
        else
            json_array_foreach(a.json, i, region) printf("%s\n", json_string_value(region));
    }
    answer_free(&a);
    client_close(c);
    return code;
}

static const struct flag regions_flags[] = {
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

static const struct flag members_flags[] = {
    {"detailed", FLAG_BOOL, NULL, "all that a server says of itself"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs"},
    FLAG_END,
};

const struct command commands_server[] = {
    {"server members", "server-members", "", "the servers and how they are", NULL, members_flags, 0,
     0, run_members},
    {"server join", "server-join", "<address> [<address>...]",
     "lets the server find others: HOST[:PORT] of their gossip", NULL, NULL, 1, -1, run_join},
    {"server force-leave", "server-force-leave", "<member>",
     "says that a server which failed will not come back", NULL, NULL, 1, 1, run_force_leave},
    {"regions", NULL, "", "the regions that have a server alive", NULL, regions_flags, 0, 0,
     run_regions},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
