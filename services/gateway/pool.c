/* /v1/agent/join and force-leave: what people ask of the pool of servers. */
#include "answer.h"
#include "nouns.h"
#include "peers.h"
#include "wire/json.h"
#include <string.h>

#define MOST_ADDRESSES 16u
#define JOIN_MS        6000u

static bool wants_gossip(struct call_context *c, struct client **gossip)
{
    *gossip = peers_gossip(c->gateway->peers);
    if (*gossip != NULL)
        return true;
    answer_text(c->x, 501, "this gateway knows no gossip: its setting gossip is empty");
    return false;
}

/* ---- join */

/* Worded as Nomad words what went wrong with each address. */
static json_t *failures_text(const Pb__GossipJoined *joined)
{
    struct strbuf text = STRBUF_INIT;
    if (joined->n_failures > 0)
        strbuf_printf(&text, "%zu error%s occurred:\n", joined->n_failures,
                      joined->n_failures == 1 ? "" : "s");
    for (size_t i = 0; i < joined->n_failures; i++)
        strbuf_printf(&text, "\t* Failed to join %s: %s\n", joined->failures[i]->address,
                      joined->failures[i]->reason);
    if (joined->n_failures > 0)
        strbuf_putc(&text, '\n');
    json_t *value = json_text(strbuf_text(&text));
    strbuf_free(&text);
    return value;
}

static void on_joined(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__GossipJoined *joined = (const Pb__GossipJoined *)r->body;
    if (r->code != PB__REPLY__CODE__OK || joined == NULL) {
        answer_text(c->x, r->code == PB__REPLY__CODE__INVALID ? 400 : 500, "%s", r->reason);
        return;
    }
    /* One that answered is enough: as Nomad has it, errors are told only where there was none. */
    answer_json(c->x,
                json_pack("{so,sI}", "error",
                          joined->joined > 0 ? json_text("") : failures_text(joined), "num_joined",
                          (json_int_t)joined->joined),
                c->params.pretty);
}

void agent_join(struct call_context *c)
{
    struct client *gossip;
    char *addresses[MOST_ADDRESSES];
    Pb__GossipJoin join = PB__GOSSIP_JOIN__INIT;
    join.addresses = addresses;
    for (size_t i = 0; i < exchange_arg_count(c->x); i++) {
        const char *name, *value;
        exchange_arg_at(c->x, i, &name, &value);
        if (strcmp(name, "address") != 0 || value == NULL || value[0] == '\0')
            continue;
        if (join.n_addresses == MOST_ADDRESSES) {
            answer_text(c->x, 400, "more than %u addresses to join", MOST_ADDRESSES);
            return;
        }
        addresses[join.n_addresses++] = (char *)(uintptr_t)value;
    }
    if (join.n_addresses == 0) {
        answer_text(c->x, 400, "missing address to join");
        return;
    }
    if (wants_gossip(c, &gossip))
        client_call(gossip, &(struct call_options){.method = PB__GOSSIP__METHOD__JOIN,
                                                   .body = &join.base,
                                                   .reply = &pb__gossip_joined__descriptor,
                                                   .budget_ms = JOIN_MS,
                                                   .done = on_joined,
                                                   .owner = c});
}

/* ---- force-leave */

static void on_forced(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    if (r->code == PB__REPLY__CODE__OK || r->code == PB__REPLY__CODE__NOT_FOUND)
        answer_nothing(c->x, 200); /* one that is not there has left */
    else
        answer_text(c->x, r->code == PB__REPLY__CODE__INVALID ? 400 : 500, "%s", r->reason);
}

void agent_force_leave(struct call_context *c)
{
    struct client *gossip;
    const char *node = exchange_arg(c->x, "node");
    Pb__GossipForceLeave leave = PB__GOSSIP_FORCE_LEAVE__INIT;
    if (node == NULL || node[0] == '\0') {
        answer_text(c->x, 400, "missing node to force leave");
        return;
    }
    leave.name = (char *)(uintptr_t)node;
    if (wants_gossip(c, &gossip))
        client_call(gossip, &(struct call_options){.method = PB__GOSSIP__METHOD__FORCE_LEAVE,
                                                   .body = &leave.base,
                                                   .done = on_forced,
                                                   .owner = c});
}
