/* What the state holds of the cluster itself, and a saved state on its way in. */
#include "state/internal.h"
#include <string.h>

#define CLUSTER_KEY bytes_of("cluster", 7)
#define OFFSET_KEY  bytes_of("offset", 6)
#define MEMBERS_KEY bytes_of("members", 7)

Pb__Cluster *state_cluster(struct view *v, struct arena *a)
{
    struct bytes b;
    Pb__Cluster *c = NULL;
    if (txn_get(v->txn, T_META, CLUSTER_KEY, &b)) {
        c = WIRE_UNPACK(a, Pb__Cluster, pb__cluster, b.data, b.len);
        if (c == NULL)
            txn_fail(v->txn, ERR_CORRUPT, "the cluster's record cannot be decoded");
    }
    if (c == NULL) {
        c = arena_alloc(a, sizeof *c);
        pb__cluster__init(c);
    }
    return c;
}

void state_put_cluster(struct view *v, const Pb__Cluster *c)
{
    ProtobufCBinaryData packed = wire_pack(v->arena, &c->base);
    txn_put(v->txn, T_META, CLUSTER_KEY, bytes_of(packed.data, packed.len));
}

size_t state_members(struct view *v, void *out, size_t room)
{
    struct bytes b;
    if (!txn_get(v->txn, T_META, MEMBERS_KEY, &b) || b.len > room)
        return 0;
    memcpy(out, b.data, b.len);
    return b.len;
}

void state_put_members(struct view *v, const void *data, size_t len)
{
    txn_put(v->txn, T_META, MEMBERS_KEY, bytes_of(data, len));
}

uint64_t state_index_offset(struct view *v)
{
    struct bytes b;
    return txn_get(v->txn, T_META, OFFSET_KEY, &b) && b.len == 8 ? u64_load_be(b.data) : 0;
}

/* ---- a saved state on its way in */

void state_rebase(struct view *v, uint64_t index_offset, const void *members, size_t members_len)
{
    uint8_t offset[8];
    must(v->in_command);
    u64_store_be(offset, index_offset);
    txn_put(v->txn, T_META, OFFSET_KEY, bytes_of(offset, sizeof offset));
    state_put_members(v, members, members_len);
    txn_clear(v->txn, T_INCOMING);
    txn_clear(v->txn, T_CHANGES);
    v->meta.changes_low = v->index;
    v->meta.changes_count = 0;
    for (unsigned i = 0; i < FEED_TABLES; i++)
        v->meta.table_index[i] = v->index;
}

void state_incoming_clear(struct view *v)
{
    txn_clear(v->txn, T_INCOMING);
}

void state_incoming_put(struct view *v, uint64_t offset, const void *data, size_t len)
{
    uint8_t key[8];
    u64_store_be(key, offset);
    txn_put(v->txn, T_INCOMING, bytes_of(key, sizeof key), bytes_of(data, len));
}

bool state_incoming_at(struct view *v, uint64_t offset, struct bytes *out)
{
    uint8_t key[8];
    u64_store_be(key, offset);
    return txn_get(v->txn, T_INCOMING, bytes_of(key, sizeof key), out);
}
