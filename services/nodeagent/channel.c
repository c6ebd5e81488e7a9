#include "channel.h"
#include "base/err.h"
#include "base/id.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE            65536u
#define OUTPUTS          2
#define SIGN_OF_LIFE_MS  8000  /* the gateway gives up a silent agent soon after ten seconds */
#define RESULT_BUDGET_MS 60000 /* a slow client takes its time */
#define INPUT_BUDGET_MS  20000 /* the gateway lets us wait for ten seconds */
#define TRY_AGAIN_MS     500
#define MAX_TRIES        20
#define END_OF_FILE      0x04 /* ^D, to a terminal */

struct output {
    struct channel *channel;
    int fd; /* -1: ended, or none */
    const char *stream;
    struct watch *watch;
};

struct channel {
    struct loop *loop;
    struct channel_options options;
    uint8_t id[ID_SIZE];
    bool over; /* and told */
    struct step over_step;
    /* up */
    struct output outputs[OUTPUTS];
    size_t next; /* whose turn it is */
    struct call *call;
    uint32_t sequence;
    unsigned tries;
    struct timer again, alive;
    Pb__AgentResult result; /* under way; with its data in `up` */
    uint8_t up[PIECE];
    bool under_way;
    bool finished; /* the last result may go when there is nothing else */
    int32_t exit_code;
    Pb__AgentError error;
    char *reason;
    /* down */
    int input; /* -1: none, or none any more */
    enum channel_end input_end;
    struct watch *input_watch;
    struct call *wait;
    struct timer wait_again;
    uint32_t taken;
    unsigned wait_tries;
    uint8_t down[PIECE];
    size_t down_len, down_done;
    bool closing; /* what is in `down` is the last */
};

static void look(struct channel *c);
static void wait_for_input(void *owner);

/* ---- the end */

static void tell_over(void *owner)
{
    struct channel *c = owner;
    c->options.over(c->options.owner);
}

static void end(struct channel *c)
{
    if (c->over)
        return;
    c->over = true;
    step_mark(c->loop, &c->over_step, tell_over, c);
}

static bool may_be_lost(const struct response *r)
{
    return r->code == PB__REPLY__CODE__TIMEOUT || r->code == PB__REPLY__CODE__UNAVAILABLE ||
           r->code == PB__REPLY__CODE__BUSY;
}

/* ---- up */

static void close_output(struct output *o)
{
    watch_close(o->watch);
    o->watch = NULL;
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

static void send_result(void *owner);

static void on_answer(void *owner, const struct response *r)
{
    struct channel *c = owner;
    c->call = NULL;
    if (r->code == PB__REPLY__CODE__OK) {
        c->under_way = false;
        c->sequence++;
        c->tries = 0;
        if (c->result.last)
            end(c);
        else
            look(c);
    } else if (may_be_lost(r) && ++c->tries <= MAX_TRIES) {
        timer_arm(c->loop, &c->again, TRY_AGAIN_MS, send_result, c);
    } else {
        end(c); /* NOT_FOUND: the client has gone */
    }
}

static void send_result(void *owner)
{
    struct channel *c = owner;
    timer_cancel(c->loop, &c->alive);
    c->call = client_call(c->options.client(c->options.client_owner),
                          &(struct call_options){.method = PB__GATEWAY__METHOD__AGENT_RESULT,
                                                 .body = &c->result.base,
                                                 .budget_ms = RESULT_BUDGET_MS,
                                                 .retry = true,
                                                 .done = on_answer,
                                                 .owner = c});
}

static Pb__AgentResult *new_result(struct channel *c)
{
    Pb__AgentResult *r = &c->result;
    pb__agent_result__init(r);
    r->has_request_id = r->has_sequence = r->has_node_id = r->has_secret_id = true;
    r->request_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = c->id};
    r->sequence = c->sequence;
    r->node_id = c->options.node->id;
    r->secret_id = c->options.node->secret_id;
    c->under_way = true;
    return r;
}

/* Says nothing but that we are there, and is told whether the client still is. */
static void show_life(void *owner)
{
    struct channel *c = owner;
    if (c->under_way || c->over)
        return;
    new_result(c);
    send_result(c);
}

/* False: nothing to send now. */
static bool send_output(struct output *o)
{
    struct channel *c = o->channel;
    ssize_t n = o->fd < 0 ? -1 : read(o->fd, c->up, PIECE);
    if (n <= 0) {
        /* EIO: nobody has the other end of the terminal any more */
        if (o->fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR)))
            close_output(o);
        return false;
    }
    Pb__AgentResult *r = new_result(c);
    r->stream = (char *)(uintptr_t)o->stream;
    r->has_data = true;
    r->data = (ProtobufCBinaryData){.len = (size_t)n, .data = c->up};
    send_result(c);
    return true;
}

static void send_last(struct channel *c)
{
    Pb__AgentResult *r = new_result(c);
    r->has_last = r->last = true;
    if (c->reason != NULL) {
        r->error = &c->error;
    } else {
        r->has_exit_code = true;
        r->exit_code = c->exit_code;
    }
    send_result(c);
}

static void on_output(void *owner, int events)
{
    const struct output *o = owner;
    look(o->channel);
}

/* While a result is under way nothing is read: what waits, waits in the pipe. */
static void watch_outputs(struct channel *c)
{
    for (size_t i = 0; i < OUTPUTS; i++)
        if (c->outputs[i].watch != NULL)
            watch_set(c->outputs[i].watch, c->under_way || c->over ? 0 : WATCH_READ);
}

static void look(struct channel *c)
{
    if (c->under_way || c->over)
        return;
    for (size_t i = 0; i < OUTPUTS && !c->under_way; i++)
        send_output(&c->outputs[c->next++ % OUTPUTS]);
    if (!c->under_way && c->finished && (c->reason != NULL || channel_is_drained(c)))
        send_last(c);
    if (!c->under_way && !timer_is_armed(&c->alive))
        timer_arm(c->loop, &c->alive, SIGN_OF_LIFE_MS, show_life, c);
    watch_outputs(c);
}

/* ---- down */

static void end_input(struct channel *c)
{
    watch_close(c->input_watch);
    c->input_watch = NULL;
    if (c->input >= 0 && c->input_end == CHANNEL_SHUT)
        shutdown(c->input, SHUT_WR);
    if (c->input >= 0)
        close(c->input);
    c->input = -1;
}

/* What nobody reads any more is thrown away: the client may still say that it leaves. */
static void write_on(struct channel *c)
{
    while (c->input >= 0 && c->down_done < c->down_len) {
        ssize_t n = write(c->input, c->down + c->down_done, c->down_len - c->down_done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch_set(c->input_watch, WATCH_WRITE);
            return;
        }
        if (n < 0)
            end_input(c);
        else
            c->down_done += (size_t)n;
    }
    c->down_len = c->down_done = 0;
    if (c->closing && c->input_end != CHANNEL_TERMINAL)
        end_input(c);
    if (c->input_watch != NULL)
        watch_set(c->input_watch, 0);
    wait_for_input(c);
}

static void on_writable(void *owner, int events)
{
    write_on(owner);
}

static void take_input(struct channel *c, const Pb__AgentInput *in)
{
    c->taken = in->sequence + 1;
    if (in->rows > 0 && c->options.resized != NULL)
        c->options.resized(c->options.owner, in->rows, in->columns);
    c->down_len = in->data.len < PIECE ? in->data.len : PIECE;
    if (c->down_len > 0)
        memcpy(c->down, in->data.data, c->down_len);
    if (in->close && c->input_end == CHANNEL_TERMINAL && c->down_len < PIECE)
        c->down[c->down_len++] = END_OF_FILE;
    c->closing = c->closing || in->close;
    write_on(c);
}

static void on_input(void *owner, const struct response *r)
{
    struct channel *c = owner;
    const Pb__AgentInput *in = (const Pb__AgentInput *)r->body;
    c->wait = NULL;
    if (r->code == PB__REPLY__CODE__OK && in != NULL) {
        c->wait_tries = 0;
        if (in->has_sequence && in->sequence == c->taken)
            take_input(c, in);
        else
            wait_for_input(c);
    } else if (may_be_lost(r) && ++c->wait_tries <= MAX_TRIES) {
        timer_arm(c->loop, &c->wait_again, TRY_AGAIN_MS, wait_for_input, c);
    } else {
        end(c); /* NOT_FOUND: the client has gone */
    }
}

static void wait_for_input(void *owner)
{
    struct channel *c = owner;
    Pb__AgentInputWait body = PB__AGENT_INPUT_WAIT__INIT;
    if (c->over)
        return;
    body.has_request_id = body.has_sequence = body.has_node_id = body.has_secret_id = true;
    body.request_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = c->id};
    body.sequence = c->taken;
    body.node_id = c->options.node->id;
    body.secret_id = c->options.node->secret_id;
    c->wait = client_call(c->options.client(c->options.client_owner),
                          &(struct call_options){.method = PB__GATEWAY__METHOD__AGENT_INPUT,
                                                 .body = &body.base,
                                                 .reply = &pb__agent_input__descriptor,
                                                 .budget_ms = INPUT_BUDGET_MS,
                                                 .retry = true,
                                                 .done = on_input,
                                                 .owner = c});
}

/* ---- what others call */

void channel_output(struct channel *c, int fd, const char *stream)
{
    size_t i = 0;
    while (i < OUTPUTS && c->outputs[i].fd >= 0)
        i++;
    must(i < OUTPUTS);
    struct output *o = &c->outputs[i];
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    o->fd = fd;
    o->stream = stream;
    o->watch = watch_open(c->loop, fd, WATCH_READ, on_output, o);
    watch_outputs(c);
}

void channel_input(struct channel *c, int fd, enum channel_end how)
{
    must(c->input < 0 && c->wait == NULL);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    c->input = fd;
    c->input_end = how;
    c->input_watch = watch_open(c->loop, fd, 0, on_writable, c);
    wait_for_input(c);
}

void channel_finish(struct channel *c, int32_t exit_code)
{
    c->finished = true;
    c->exit_code = exit_code;
    look(c);
}

void channel_fail(struct channel *c, uint32_t http_status, const char *why)
{
    if (c->finished)
        return;
    c->finished = true;
    c->reason = xstrdup(why);
    pb__agent_error__init(&c->error);
    c->error.has_http_status = true;
    c->error.http_status = http_status;
    c->error.reason = c->reason;
    look(c);
}

bool channel_is_drained(const struct channel *c)
{
    for (size_t i = 0; i < OUTPUTS; i++)
        if (c->outputs[i].fd >= 0)
            return false;
    return true;
}

struct channel *channel_new(struct loop *l, const struct channel_options *o)
{
    struct channel *c = xcalloc(1, sizeof *c);
    c->loop = l;
    c->options = *o;
    memcpy(c->id, o->id, ID_SIZE);
    c->input = -1;
    /* At once, so that the gateway knows we have the request and hands it out no more. */
    timer_arm(l, &c->alive, 0, show_life, c);
    for (size_t i = 0; i < OUTPUTS; i++)
        c->outputs[i] = (struct output){.channel = c, .fd = -1};
    return c;
}

void channel_free(struct channel *c)
{
    if (c == NULL)
        return;
    call_cancel(c->call);
    call_cancel(c->wait);
    step_cancel(&c->over_step);
    timer_cancel(c->loop, &c->again);
    timer_cancel(c->loop, &c->alive);
    timer_cancel(c->loop, &c->wait_again);
    for (size_t i = 0; i < OUTPUTS; i++)
        close_output(&c->outputs[i]);
    end_input(c);
    free(c->reason);
    free(c);
}
