/* Which of the allocations that an agent keeps the servers still know: the others were collected,
 * and it may remove what is left of them. */
#include "agents_parts.h"
#include "wire/wire.h"
#include <stdlib.h>

#define MOST_ASKED 1000
#define LIST_MS    10000

/* One question at a time of each node. */
struct known {
    struct node *node;
    struct request *req;
    struct leader_call *call;
    struct map *ids; /* of the node's allocations */
};

static void known_free(struct known *k)
{
    k->node->known = NULL;
    leader_call_cancel(k->call);
    map_free(k->ids);
    free(k);
}

void known_close(struct node *n)
{
    if (n->known == NULL)
        return;
    request_fail(n->known->req, PB__REPLY__CODE__UNAVAILABLE, "the gateway is stopping");
    known_free(n->known);
}

static void on_gone(void *owner, struct request *req)
{
    known_free(owner);
}

static void tell(struct known *k, uint64_t index)
{
    struct request *req = k->req;
    const Pb__AllocsKept *kept = (const Pb__AllocsKept *)request_body(req);
    Pb__AllocsGone gone = PB__ALLOCS_GONE__INIT;
    gone.alloc_ids = arena_array(request_arena(req), ProtobufCBinaryData, kept->n_alloc_ids + 1);
    for (size_t i = 0; i < kept->n_alloc_ids; i++)
        if (map_get_id(k->ids, kept->alloc_ids[i].data) == NULL)
            gone.alloc_ids[gone.n_alloc_ids++] = kept->alloc_ids[i];
    known_free(k);
    request_reply(req, &gone.base, index);
}

static void list(struct known *k, const Pb__Key *after);

static void on_listed(void *owner, const struct response *r)
{
    struct known *k = owner;
    const Pb__Objects *page = (const Pb__Objects *)r->body;
    k->call = NULL;
    if (r->code != PB__REPLY__CODE__OK || page == NULL) {
        struct request *req = k->req;
        known_free(k);
        request_fail(req, PB__REPLY__CODE__UNAVAILABLE, "the allocations could not be listed: %s",
                     r->reason);
        return;
    }
    for (size_t i = 0; i < page->n_objects; i++)
        if (page->objects[i]->value_case == PB__OBJECT__VALUE_ALLOC)
            map_put(k->ids, page->objects[i]->alloc->id.data, ID_SIZE, k);
    if (page->next != NULL)
        list(k, page->next);
    else
        tell(k, r->index);
}

/* Of the leader: one that is behind lacks the newest, which are not to be removed for that. */
static void list(struct known *k, const Pb__Key *after)
{
    Pb__List l = PB__LIST__INIT;
    l.has_table = l.has_by = l.has_id = l.has_consistent = 1;
    l.table = PB__TABLE__NAME__ALLOCS;
    l.by = PB__LIST__BY__NODE;
    l.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = k->node->id};
    l.after = (Pb__Key *)(uintptr_t)after;
    l.consistent = 1;
    k->call = leader_call(k->node->agents->options.leader, PB__SERVICE__NAME__JOBSTORE,
                          &(struct call_options){.method = PB__JOBSTORE__METHOD__LIST,
                                                 .body = &l.base,
                                                 .reply = &pb__objects__descriptor,
                                                 .budget_ms = LIST_MS,
                                                 .retry = true,
                                                 .done = on_listed,
                                                 .owner = k});
}

static void ask(struct node *n, struct request *req)
{
    const Pb__AllocsKept *kept = (const Pb__AllocsKept *)request_body(req);
    bool whole = kept->n_alloc_ids <= MOST_ASKED;
    for (size_t i = 0; whole && i < kept->n_alloc_ids; i++)
        whole = kept->alloc_ids[i].len == ID_SIZE;
    if (!whole || n->known != NULL) {
        request_fail(req, whole ? PB__REPLY__CODE__BUSY : PB__REPLY__CODE__INVALID, "%s",
                     whole ? "it was asked already" : "1000 whole ids at most may be asked for");
        return;
    }
    struct known *k = xcalloc(1, sizeof *k);
    k->node = n;
    k->req = req;
    k->ids = map_new();
    n->known = k;
    request_park(req, on_gone, k);
    list(k, NULL);
}

void on_allocs_kept(void *self, struct request *req)
{
    const Pb__AllocsKept *kept = (const Pb__AllocsKept *)request_body(req);
    agents_admit(self, req, SPEAKER(kept), ask);
}
