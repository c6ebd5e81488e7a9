/* /v1/client/allocation/ID/forward: a connection to a port of an allocation. Beyond Nomad. Binary
 * messages in both directions are its bytes; a text message of the client says that it will send
 * no more. */
#include "answer.h"
#include "nouns.h"
#include "talk.h"

#define MESSAGE_MAX (256u << 10)

static void on_message(struct talk *t, bool text, const void *data, size_t len)
{
    Pb__AgentInput input = PB__AGENT_INPUT__INIT;
    if (text) {
        input.has_close = input.close = true;
    } else {
        input.has_data = true;
        input.data = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
    }
    if (text || len > 0)
        talk_tell(t, &input);
}

static void on_result(struct talk *t, const Pb__AgentResult *r)
{
    talk_say(t, false, r->data.data, r->data.len);
}

static const struct talk_kind forward_kind = {
    .longest = MESSAGE_MAX, .message = on_message, .result = on_result};

void allocation_forward(struct call_context *c)
{
    const char *port = exchange_arg(c->x, "port");
    if (port == NULL || port[0] == '\0') {
        answer_text(c->x, 400, "port must be a label of the allocation, or a number");
        return;
    }
    if (!websocket_is_asked_for(c->x))
        return;
    struct talk *t = talk_new(&forward_kind, c);
    t->request.has_kind = true;
    t->request.kind = PB__AGENT_REQUEST__KIND__FORWARD;
    t->request.port = (char *)(uintptr_t)port;
    talk_begin(t);
}
