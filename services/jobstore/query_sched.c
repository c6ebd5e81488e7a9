/* Answers for schedulers about more than one job. */
#include "apply.h"
#include "base/id.h"
#include "query.h"
#include "sched/fit.h"
#include "wire/wire.h"
#include <string.h>

struct found {
    struct arena *arena;
    Pb__Alloc **allocs;
    size_t count, room, bytes;
};

static void keep(struct found *f, const Pb__Alloc *alloc, size_t bytes)
{
    if (f->count == f->room) {
        f->room = f->room * 2 + 64;
        Pb__Alloc **all = arena_array(f->arena, Pb__Alloc *, f->room);
        if (f->count > 0)
            memcpy(all, f->allocs, f->count * sizeof(*all));
        f->allocs = all;
    }
    f->allocs[f->count++] = (Pb__Alloc *)wire_clone(f->arena, &alloc->base);
    f->bytes += bytes;
}

static void list_node(struct view *v, struct arena *scratch, const uint8_t *node, uint32_t most,
                      struct found *out)
{
    struct walk w;
    const uint8_t *id;
    walk_open(&w, v, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__NODE, NULL, NULL, node, NULL);
    while ((id = walk_next(&w)) != NULL && out->bytes < QUERY_SOFT_BYTES) {
        struct record r;
        Pb__Key key = PB__KEY__INIT;
        key.table = PB__TABLE__NAME__ALLOCS;
        key.has_id = true;
        key.id = (ProtobufCBinaryData){.len = ID_SIZE, .data = (uint8_t *)(uintptr_t)id};
        if (!state_record(v, &key, &r))
            continue;
        arena_reset(scratch);
        const Pb__Alloc *alloc =
            WIRE_UNPACK(scratch, Pb__Alloc, pb__alloc, r.message.data, r.message.len);
        if (alloc != NULL && alloc_is_wanted(alloc) && alloc_priority(alloc) <= most)
            keep(out, alloc, r.message.len);
    }
    walk_close(&w);
}

void query_node_allocs(struct view *v, struct arena *a, const Pb__NodeAllocsRequest *q,
                       Pb__NodeAllocs *out)
{
    struct arena *scratch = arena_new(1 << 24);
    struct found found = {.arena = a};
    for (size_t i = 0; i < q->n_node_ids; i++)
        if (q->node_ids[i].len == ID_SIZE)
            list_node(v, scratch, q->node_ids[i].data, q->max_priority, &found);
    arena_free(scratch);
    out->allocs = found.allocs;
    out->n_allocs = found.count;
    out->has_index = true;
    out->index = view_meta(v)->applied_index;
}

Pb__SchedulerConfig *query_scheduler(struct view *v, struct arena *a)
{
    Pb__Cluster *c = state_cluster(v, a);
    if (c->scheduler != NULL)
        return c->scheduler;
    Pb__SchedulerConfig *s = arena_alloc(a, sizeof *s);
    scheduler_defaults(s, a);
    return s;
}
