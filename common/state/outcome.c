/* What each request got for an answer, so that its second copy gets the same. Bounded: the oldest
 * goes first. */
#include "state/internal.h"
#include "base/fault.h"

Pb__Outcome *state_outcome(struct view *v, struct arena *a, const uint8_t *request_id)
{
    struct bytes b;
    if (MUTANT("dedupe-forgotten") || MUTANT("applied-twice"))
        return NULL;
    if (!txn_get(v->txn, T_OUTCOMES, id_bytes(request_id), &b))
        return NULL;
    return WIRE_UNPACK(a, Pb__Outcome, pb__outcome, b.data, b.len);
}

static void forget_oldest(struct view *v)
{
    struct cursor c;
    uint8_t order[8], id[ID_SIZE];
    cursor_open(&c, v->txn, T_OUTCOME_ORDER);
    bool found = cursor_first(&c) && c.key.len == sizeof order && c.value.len == sizeof id;
    if (found) {
        __builtin_memcpy(order, c.key.data, sizeof order);
        __builtin_memcpy(id, c.value.data, sizeof id);
    }
    cursor_close(&c);
    if (!found)
        return;
    txn_del(v->txn, T_OUTCOME_ORDER, bytes_of(order, sizeof order));
    txn_del(v->txn, T_OUTCOMES, id_bytes(id));
    v->meta.outcomes_count--;
}

void state_put_outcome(struct view *v, const uint8_t *request_id, const Pb__Outcome *outcome)
{
    uint8_t order[8];
    if (MUTANT("dedupe-forgotten") || MUTANT("applied-twice"))
        return;
    u64_store_be(order, v->index);
    ProtobufCBinaryData packed = wire_pack(v->arena, &outcome->base);
    txn_put(v->txn, T_OUTCOMES, id_bytes(request_id), bytes_of(packed.data, packed.len));
    txn_append(v->txn, T_OUTCOME_ORDER, bytes_of(order, sizeof order), id_bytes(request_id));
    v->meta.outcomes_count++;
    if (v->meta.outcomes_count > v->state->options.outcomes_kept)
        forget_oldest(v);
}
