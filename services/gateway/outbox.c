#include "outbox.h"
#include "base/err.h"
#include "base/fault.h"
#include <stdlib.h>
#include <string.h>

static void clear(struct outbox *o)
{
    for (size_t i = 0; i < o->count; i++)
        free(o->entries[i].packed);
    free(o->entries);
    o->entries = NULL;
    o->count = o->room = o->changes = 0;
    o->full = false;
}

void outbox_fini(struct outbox *o)
{
    clear(o);
}

void outbox_begin(struct outbox *o, uint64_t index)
{
    clear(o);
    o->since = index;
    o->known = true;
}

void outbox_lose(struct outbox *o)
{
    clear(o);
    o->known = false;
}

bool outbox_confirm(struct outbox *o, uint64_t since)
{
    if (!o->known || since == 0 || since < o->since)
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (o->entries[i].alloc_modify_index > since && !MUTANT("news-dropped"))
            o->entries[kept++] = o->entries[i];
        else
            free(o->entries[i].packed);
    }
    o->count = o->changes = kept;
    o->since = since;
    o->full = false;
    if (kept == 0)
        clear(o);
    return true;
}

static void entry_set(struct outbox_entry *e, const Pb__Alloc *alloc)
{
    free(e->packed);
    memcpy(e->alloc_id, alloc->id.data, sizeof(e->alloc_id));
    e->modify_index = alloc->modify_index;
    e->alloc_modify_index = alloc->alloc_modify_index;
    e->len = protobuf_c_message_get_packed_size(&alloc->base);
    e->packed = xmalloc(e->len + 1);
    protobuf_c_message_pack(&alloc->base, e->packed);
}

static struct outbox_entry *find(const struct outbox *o, const uint8_t id[16])
{
    for (size_t i = 0; i < o->count; i++)
        if (memcmp(o->entries[i].alloc_id, id, 16) == 0)
            return &o->entries[i];
    return NULL;
}

static void append(struct outbox *o, const Pb__Alloc *alloc)
{
    if (o->count == o->room) {
        o->room = o->room > 0 ? o->room * 2 : 4;
        o->entries = xrealloc(o->entries, o->room * sizeof(*o->entries));
    }
    o->entries[o->count] = (struct outbox_entry){.packed = NULL};
    entry_set(&o->entries[o->count++], alloc);
}

bool outbox_put(struct outbox *o, const Pb__Alloc *alloc)
{
    if (!o->known || alloc->alloc_modify_index <= o->since)
        return false;
    struct outbox_entry *e = find(o, alloc->id.data);
    if (e != NULL) {
        bool news = alloc->alloc_modify_index > e->alloc_modify_index;
        if (alloc->modify_index >= e->modify_index)
            entry_set(e, alloc);
        return news;
    }
    if (o->changes >= OUTBOX_MAX) {
        outbox_lose(o);
        return true;
    }
    append(o, alloc);
    o->changes++;
    return true;
}

static bool is_over(const Pb__Alloc *alloc)
{
    return alloc->client_status == PB__ALLOC__CLIENT_STATUS__COMPLETE ||
           alloc->client_status == PB__ALLOC__CLIENT_STATUS__FAILED ||
           alloc->client_status == PB__ALLOC__CLIENT_STATUS__LOST;
}

void outbox_put_listed(struct outbox *o, const Pb__Alloc *alloc)
{
    if (!o->known || is_over(alloc) || (o->changes > 0 && find(o, alloc->id.data) != NULL))
        return; /* the feed's value is at least as new */
    append(o, alloc);
}

void outbox_listed(struct outbox *o)
{
    o->full = o->known;
}

bool outbox_has_news(const struct outbox *o)
{
    return o->known && (o->count > 0 || o->full);
}

void outbox_check(const struct outbox *o)
{
    must(o->known || (o->count == 0 && !o->full));
    must(o->changes <= OUTBOX_MAX && o->changes <= o->count);
    for (size_t i = 0; i < o->count; i++) {
        must(o->entries[i].packed != NULL);
        for (size_t k = 0; k < i; k++)
            must(memcmp(o->entries[i].alloc_id, o->entries[k].alloc_id, 16) != 0);
    }
}
