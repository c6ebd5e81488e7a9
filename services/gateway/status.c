/* Who leads, which regions there are, and the one namespace of this version. */
#include "answer.h"
#include "nouns.h"
#include "peers.h"
#include "query.h"
#include "wire/json.h"
#include <stdlib.h>
#include <string.h>

struct leader_query {
    struct call_context *context;
    bool as_list;
};

static void on_leader_members(void *owner, const Pb__Members *members)
{
    struct leader_query *l = owner;
    char address[160];
    member_rpc_address(l->context->gateway, members_self(members), address);
    answer_json(l->context->x,
                l->as_list ? json_pack("[s]", address) : json_string_nocheck(address),
                l->context->params.pretty);
}

static void on_leader_status(void *owner, const Pb__JobstoreStatus *status)
{
    struct leader_query *l = owner;
    if (status == NULL)
        answer_text(l->context->x, 500, "No cluster leader");
    else
        peers_members(l->context->gateway, on_leader_members, l);
}

static void ask_leader(struct call_context *c, bool as_list)
{
    struct leader_query *l = arena_alloc(exchange_arena(c->x), sizeof(*l));
    *l = (struct leader_query){.context = c, .as_list = as_list};
    peers_status(c->gateway, on_leader_status, l);
}

void status_leader(struct call_context *c)
{
    ask_leader(c, false);
}

void status_peers(struct call_context *c)
{
    ask_leader(c, true);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each region once, sorted; our own is always there. */
static void on_regions(void *owner, const Pb__Members *members)
{
    struct call_context *c = owner;
    size_t n = members == NULL ? 0 : members->n_members;
    const char **names = arena_array(exchange_arena(c->x), const char *, n + 1);
    names[n] = c->gateway->region;
    for (size_t i = 0; i < n; i++)
        names[i] = members->members[i]->region == NULL ? names[n] : members->members[i]->region;
    qsort(names, n + 1, sizeof(*names), by_text);
    json_t *list = json_array();
    for (size_t i = 0; i <= n; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            json_array_append_new(list, json_text(names[i]));
    answer_json(c->x, list, c->params.pretty);
}

void regions_list(struct call_context *c)
{
    peers_members(c->gateway, on_regions, c);
}

static json_t *default_namespace(void)
{
    return json_pack("{si,ss,ss,si,ss,ss}", "CreateIndex", 1, "Description",
                     "Default shared namespace", "Hash", "", "ModifyIndex", 1, "Name", "default",
                     "Quota", "");
}

static void read_namespaces(struct query *q)
{
    bool wanted = strncmp("default", q->params.prefix, strlen(q->params.prefix)) == 0;
    query_found(q, 1, wanted ? json_pack("[o]", default_namespace()) : json_array());
}

static void read_namespace(struct query *q)
{
    if (strcmp(q->context->id, "default") == 0)
        query_found(q, 1, default_namespace());
    else
        query_missing(q, 1, "Namespace not found");
}

void namespaces_list(struct call_context *c)
{
    struct watch_on nothing = {0};
    query_start(c, &nothing, read_namespaces);
}

void namespace_get(struct call_context *c)
{
    struct watch_on nothing = {0};
    query_start(c, &nothing, read_namespace);
}

void not_in_this_version(struct call_context *c)
{
    answer_text(c->x, 501, "%s is not in this version of Norn", exchange_path(c->x));
}
