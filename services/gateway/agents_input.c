/* The other direction of a request to an agent: what the client says to a command or a connection
 * there. The agent waits for each piece in a request; by asking for the next it says that it has
 * taken the one before. So nothing is lost or doubled, and a slow agent slows its client. */
#include "agents_parts.h"
#include "base/strbuf.h"
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536u
#define WAIT_MS   10000u

struct input {
    struct link link;
    struct strbuf data;
    bool close;
    uint32_t rows, columns; /* 0: nothing is said of them */
};

static void input_free(struct ask *ask, struct input *i)
{
    list_remove(&i->link);
    ask->input_bytes -= i->data.len;
    ask->input_count--;
    strbuf_free(&i->data);
    free(i);
}

static void reply(struct ask *ask, const struct input *i)
{
    struct request *req = ask->asked;
    Pb__AgentInput out = PB__AGENT_INPUT__INIT;
    ask->asked = NULL;
    timer_cancel(ask->agents->loop, &ask->asked_over);
    if (i != NULL) {
        ask->input_sent = true;
        out.has_sequence = true;
        out.sequence = ask->input_first;
        out.has_data = i->data.len > 0;
        out.data = (ProtobufCBinaryData){.len = i->data.len, .data = (uint8_t *)i->data.data};
        out.has_close = out.close = i->close;
        out.has_rows = out.has_columns = i->rows > 0;
        out.rows = i->rows;
        out.columns = i->columns;
    }
    request_reply(req, &out.base, 0);
}

static void reply_if_due(struct ask *ask)
{
    const struct input *first = list_first(&ask->inputs, struct input, link);
    if (ask->asked != NULL && first != NULL)
        reply(ask, first);
}

static void on_wait_over(void *owner)
{
    reply(owner, NULL);
}

/* The agent's connection ended: it asks again on a new one. */
static void on_asked_gone(void *owner, struct request *req)
{
    struct ask *ask = owner;
    ask->asked = NULL;
    timer_cancel(ask->agents->loop, &ask->asked_over);
}

static void agent_input(struct node *n, struct request *req)
{
    const Pb__AgentInputWait *wait = (const Pb__AgentInputWait *)request_body(req);
    struct ask *ask =
        wait->request_id.len == ID_SIZE ? map_get_id(n->agents->asks, wait->request_id.data) : NULL;
    if (ask == NULL || ask->node != n) {
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "the client has gone");
        return;
    }
    if (wait->sequence < ask->input_first || wait->sequence > ask->input_first + ask->input_sent) {
        request_fail(req, PB__REPLY__CODE__INVALID, "input %u is asked for; the next is %u",
                     wait->sequence, ask->input_first);
        return;
    }
    if (ask->asked != NULL) /* nobody waits for this one any more */
        reply(ask, NULL);
    bool taken = wait->sequence > ask->input_first;
    if (taken) {
        struct input *first = list_first(&ask->inputs, struct input, link);
        must(first != NULL);
        input_free(ask, first);
        ask->input_first++;
        ask->input_sent = false;
    }
    ask->asked = req;
    request_park(req, on_asked_gone, ask);
    timer_arm(n->agents->loop, &ask->asked_over, WAIT_MS, on_wait_over, ask);
    reply_if_due(ask);
    if (taken && ask->taken != NULL)
        ask->taken(ask->owner); /* may end the ask */
}

void on_agent_input(void *self, struct request *req)
{
    const Pb__AgentInputWait *wait = (const Pb__AgentInputWait *)request_body(req);
    agents_admit(self, req, SPEAKER(wait), agent_input);
}

/* The piece to add to: the last, if it has not been sent and nothing follows it. */
static struct input *open_input(struct ask *ask)
{
    struct link *end = ask->inputs.prev;
    must(end != NULL);
    struct input *last = end == &ask->inputs ? NULL : container_of(end, struct input, link);
    bool sent = ask->input_count == 1 && ask->input_sent;
    if (last != NULL && !sent && !last->close && last->data.len < INPUT_MAX)
        return last;
    struct input *i = xcalloc(1, sizeof *i);
    list_push_back(&ask->inputs, &i->link);
    ask->input_count++;
    return i;
}

void agents_tell(struct ask *ask, const Pb__AgentInput *input)
{
    size_t done = 0;
    struct input *i;
    do {
        i = open_input(ask);
        size_t n = input->data.len - done, room = INPUT_MAX - i->data.len;
        n = n < room ? n : room;
        strbuf_add(&i->data, input->data.data + done, n);
        ask->input_bytes += n;
        done += n;
    } while (done < input->data.len);
    i->close = input->close;
    if (input->rows > 0) {
        i->rows = input->rows;
        i->columns = input->columns;
    }
    reply_if_due(ask);
}

size_t agents_untold(const struct ask *ask)
{
    return ask->input_bytes;
}

void agents_on_taken(struct ask *ask, void (*taken)(void *owner))
{
    ask->taken = taken;
}

void inputs_end(struct ask *ask)
{
    struct input *i;
    struct request *req = ask->asked;
    timer_cancel(ask->agents->loop, &ask->asked_over);
    list_each(&ask->inputs, struct input, link, i) input_free(ask, i);
    ask->asked = NULL;
    if (req != NULL)
        request_fail(req, PB__REPLY__CODE__NOT_FOUND, "the client has gone");
}
