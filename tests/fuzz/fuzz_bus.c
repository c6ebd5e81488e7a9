/* What any peer can send: an envelope around the payload of any method, request or answer. Whatever
 * is decoded packs again to something that decodes to the same; and the way of net, which does not
 * copy the payload, sees what a plain decoder sees. */
#include "command.pb-c.h"
#include "controller.pb-c.h"
#include "evalbroker.pb-c.h"
#include "gateway.pb-c.h"
#include "gossip.pb-c.h"
#include "jobstore.pb-c.h"
#include "net/envelope.h"
#include "planqueue.pb-c.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const payloads[] = {
    &pb__empty__descriptor,
    &pb__metrics__descriptor,
    &pb__command__descriptor,
    &pb__outcome__descriptor,
    &pb__key__descriptor,
    &pb__object__descriptor,
    &pb__list__descriptor,
    &pb__objects__descriptor,
    &pb__changes__descriptor,
    &pb__changes_reply__descriptor,
    &pb__job_views_request__descriptor,
    &pb__job_views__descriptor,
    &pb__jobstore_status__descriptor,
    &pb__dequeue__descriptor,
    &pb__deliveries__descriptor,
    &pb__broker_stats__descriptor,
    &pb__plans__descriptor,
    &pb__plan_results__descriptor,
    &pb__seen__descriptor,
    &pb__seen_reply__descriptor,
    &pb__node_register__descriptor,
    &pb__heartbeat__descriptor,
    &pb__heartbeat_reply__descriptor,
    &pb__node_poll__descriptor,
    &pb__node_news__descriptor,
    &pb__alloc_updates__descriptor,
    &pb__agent_result__descriptor,
    &pb__members__descriptor,
    &pb__members_wait__descriptor,
    &pb__gossip_join__descriptor,
    &pb__gossip_joined__descriptor,
    &pb__gossip_force_leave__descriptor,
    &pb__gossip_packet__descriptor,
};

static void check_payload(struct arena *a, const ProtobufCMessageDescriptor *type,
                          ProtobufCBinaryData bytes)
{
    const ProtobufCMessage *m = wire_unpack(a, type, bytes.data, bytes.len);
    if (m == NULL)
        return;
    ProtobufCBinaryData packed = wire_pack(a, m);
    const ProtobufCMessage *again = wire_unpack(a, type, packed.data, packed.len);
    must(again != NULL);
    ProtobufCBinaryData twice = wire_pack(a, again);
    must(twice.len == packed.len && memcmp(twice.data, packed.data, packed.len) == 0);
}

static void check_envelope(struct arena *a, const ProtobufCMessageDescriptor *type, unsigned field,
                           const uint8_t *data, size_t size)
{
    ProtobufCBinaryData payload;
    const ProtobufCMessage *plain = wire_unpack(a, type, data, size);
    const ProtobufCMessage *ours = envelope_unpack(a, type, field, data, size, &payload);
    must(plain == NULL || ours != NULL);
    if (plain == NULL || ours == NULL)
        return;
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(type, field);
    const ProtobufCBinaryData *whole =
        (const ProtobufCBinaryData *)(const void *)((const char *)plain + f->offset);
    must(payload.len == whole->len &&
         (payload.len == 0 || memcmp(payload.data, whole->data, payload.len) == 0));
    for (size_t i = 0; i < COUNT_OF(payloads); i++)
        check_payload(a, payloads[i], payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(256u << 20);
    check_envelope(a, &pb__request__descriptor, REQUEST_PAYLOAD, data, size);
    check_envelope(a, &pb__reply__descriptor, REPLY_PAYLOAD, data, size);
    for (size_t i = 0; i < COUNT_OF(payloads); i++)
        check_payload(a, payloads[i], (ProtobufCBinaryData){.len = size, .data = (uint8_t *)data});
    arena_free(a);
    return 0;
}
