/* Who leads and which regions there are. */
#include "answer.h"
#include "nouns.h"
#include "leader.h"
#include "roster.h"
#include "status.h"
#include "wire/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "127.0.0.1:4647" of a door's address. */
static const char *host_port(const char *door)
{
    const char *scheme = strstr(door, "://");
    return scheme != NULL ? scheme + 3 : door;
}

/* A server without a door is named as Nomad would name it. */
static void own_address(const struct gateway *g, char out[256])
{
    if (!roster_own_door(g->roster, out))
        snprintf(out, 256, "127.0.0.1:4647");
}

bool status_leader_address(const struct gateway *g, char out[256])
{
    char door[256];
    if (leader_is_here(g->leader))
        own_address(g, door);
    else if (!leader_door(g->leader, door))
        return false;
    snprintf(out, 256, "%s", host_port(door));
    return true;
}

void status_leader(struct call_context *c)
{
    char address[256];
    if (status_leader_address(c->gateway, address))
        answer_json(c->x, json_text(address), c->params.pretty);
    else
        answer_text(c->x, 500, "No cluster leader");
}

/* The region's servers that gossip does not know to have left. */
void status_peers(struct call_context *c)
{
    const struct gateway *g = c->gateway;
    const Pb__Members *all = roster_members(g->roster);
    json_t *list = json_array();
    char address[256];
    for (size_t i = 0; i < all->n_members; i++) {
        const Pb__Member *m = all->members[i];
        if (m->status != PB__MEMBER__STATUS__LEFT && m->region != NULL &&
            strcmp(m->region, g->region) == 0 && roster_door(g->roster, m, address))
            json_array_append_new(list, json_text(host_port(address)));
    }
    if (json_array_size(list) == 0) {
        own_address(g, address);
        json_array_append_new(list, json_text(host_port(address)));
    }
    answer_json(c->x, list, c->params.pretty);
}

json_t *status_servers(const struct gateway *g)
{
    const Pb__Members *all = roster_members(g->roster);
    json_t *list = json_array();
    char door[256];
    for (size_t i = 0; i < all->n_members; i++) {
        const Pb__Member *m = all->members[i];
        if (m->status == PB__MEMBER__STATUS__ALIVE && m->region != NULL &&
            strcmp(m->region, g->region) == 0 && roster_door(g->roster, m, door))
            json_array_append_new(list,
                                  json_pack("{so,ss,si,si}", "Datacenter", json_text(m->datacenter),
                                            "RPCAdvertiseAddr", host_port(door), "RPCMajorVersion",
                                            1, "RPCMinorVersion", 1));
    }
    return list;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_there(const Pb__Member *m)
{
    return m->region != NULL &&
           (m->status == PB__MEMBER__STATUS__ALIVE || m->status == PB__MEMBER__STATUS__SUSPECT);
}

json_t *regions_known(const struct gateway *g, const Pb__Members *members)
{
    size_t n = members->n_members;
    const char **names = xcalloc(n + 1, sizeof(*names));
    names[n] = g->region;
    for (size_t i = 0; i < n; i++)
        names[i] = is_there(members->members[i]) ? members->members[i]->region : names[n];
    qsort(names, n + 1, sizeof(*names), by_text);
    json_t *list = json_array();
    for (size_t i = 0; i <= n; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            json_array_append_new(list, json_text(names[i]));
    free(names);
    return list;
}

void regions_list(struct call_context *c)
{
    const struct gateway *g = c->gateway;
    answer_json(c->x, regions_known(g, roster_members(g->roster)), c->params.pretty);
}
