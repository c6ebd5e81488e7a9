#include "types.pb-c.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

static Pb__Alloc *an_alloc(struct arena *a)
{
    Pb__Alloc *alloc = arena_array(a, Pb__Alloc, 1);
    pb__alloc__init(alloc);
    alloc->has_id = 1;
    alloc->id = wire_id(a, (const uint8_t *)"0123456789abcdef");
    alloc->job_id = arena_strdup(a, "web");
    return alloc;
}

Test(wire, a_message_survives_packing)
{
    struct arena *a = arena_new(1 << 20);
    Pb__Alloc *alloc = an_alloc(a);
    ProtobufCBinaryData packed = wire_pack(a, &alloc->base);
    Pb__Alloc *back = WIRE_UNPACK(a, Pb__Alloc, pb__alloc, packed.data, packed.len);
    cr_assert_not_null(back);
    cr_assert_str_eq(back->job_id, "web");
    cr_assert(wire_equal(&alloc->base, &back->base));
    back->job_id = arena_strdup(a, "wed");
    cr_assert(!wire_equal(&alloc->base, &back->base));
    arena_free(a);
}

Test(wire, messages_of_any_size_are_compared)
{
    struct arena *a = arena_new(1 << 20);
    for (size_t len = 0; len < 5000; len += 7) {
        Pb__KeyValue x = PB__KEY_VALUE__INIT, y = PB__KEY_VALUE__INIT;
        x.key = arena_alloc(a, len + 1);
        memset(x.key, 'k', len);
        y.key = arena_strdup(a, x.key);
        cr_assert(wire_equal(&x.base, &y.base));
        arena_reset(a);
    }
    arena_free(a);
}

Test(wire, an_id_of_another_length_is_refused_at_any_depth)
{
    struct arena *a = arena_new(1 << 20);
    Pb__Alloc *alloc = an_alloc(a);
    alloc->id.len = 15;
    ProtobufCBinaryData packed = wire_pack(a, &alloc->base);
    cr_assert_null(WIRE_UNPACK(a, Pb__Alloc, pb__alloc, packed.data, packed.len));

    Pb__Plan plan = PB__PLAN__INIT;
    Pb__Placement placement = PB__PLACEMENT__INIT, *placements[] = {&placement};
    placement.has_node_id = 1;
    placement.node_id = wire_id(a, (const uint8_t *)"0123456789abcdef");
    plan.placements = placements;
    plan.n_placements = 1;
    packed = wire_pack(a, &plan.base);
    cr_assert_not_null(WIRE_UNPACK(a, Pb__Plan, pb__plan, packed.data, packed.len));
    placement.node_id.len = 3;
    packed = wire_pack(a, &plan.base);
    cr_assert_null(WIRE_UNPACK(a, Pb__Plan, pb__plan, packed.data, packed.len));

    Pb__Request request = PB__REQUEST__INIT; /* a payload is no id */
    request.has_payload = 1;
    request.payload = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"abc"};
    packed = wire_pack(a, &request.base);
    cr_assert_not_null(WIRE_UNPACK(a, Pb__Request, pb__request, packed.data, packed.len));
    arena_free(a);
}

Test(wire, what_would_not_fit_into_the_arena_is_refused)
{
    struct arena *a = arena_new(1 << 20), *small = arena_new(10000);
    uint8_t *bomb = arena_alloc(a, 20000); /* 10,000 empty stops: 20 kB that become a megabyte */
    for (size_t i = 0; i < 20000; i += 2)
        bomb[i] = 8 << 3 | 2;
    cr_assert_null(WIRE_UNPACK(small, Pb__Plan, pb__plan, bomb, 20000));
    cr_assert_null(WIRE_UNPACK(a, Pb__Plan, pb__plan, "\xff\xff\xff", 3));
    arena_free(small);
    arena_free(a);
}
