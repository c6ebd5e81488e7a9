#include "network.h"
#include "base/err.h"
#include "base/map.h"
#include <stdlib.h>
#include <string.h>

#define GIVEN_UP_US   15000000 /* a connection into a cut is given up by then */
#define SENT_AGAIN_US 300000   /* how soon what was sent into a cut is tried again */

struct network net;

void net_begin(void)
{
    if (net.pipes != NULL)
        return;
    list_init(&net.servers);
    list_init(&net.clients);
    net.pipes = map_new();
    net.last_pipe = 0;
    net.last_call = net.last_client = 0;
}

void net_free(void)
{
    if (net.pipes == NULL)
        return;
    must(list_empty(&net.servers) && list_empty(&net.clients) && map_count(net.pipes) == 0);
    map_free(net.pipes);
    net.pipes = NULL;
}

/* ---- packets */

void packet_drop(struct packet *p)
{
    if (--p->references > 0)
        return;
    free(p->region);
    free(p->namespace);
    free(p->token);
    free(p->reason);
    free(p->body);
    free(p);
}

char *copy_text(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

struct packet *packet_new(const ProtobufCMessage *body, const ProtobufCBinaryData *raw)
{
    struct packet *p = xcalloc(1, sizeof(*p));
    p->references = 1;
    p->has_body = body != NULL || (raw != NULL && raw->data != NULL);
    if (body != NULL) {
        p->len = protobuf_c_message_get_packed_size(body);
        p->body = xmalloc(p->len + 1);
        protobuf_c_message_pack(body, p->body);
    } else if (p->has_body) {
        p->len = raw->len;
        p->body = xmalloc(p->len + 1);
        memcpy(p->body, raw->data, p->len);
    }
    return p;
}

/* ---- connections */

struct pipe *pipe_of(uint32_t number)
{
    return map_get(net.pipes, &number, sizeof(number));
}

static uint64_t delay_between(const struct process *a, const struct process *b)
{
    return sim_about(a->host == b->host ? sim->weather.local_us : sim->weather.remote_us);
}

bool is_cut(const struct process *from, const struct process *to)
{
    return sim->weather.cut[from->host->number][to->host->number];
}

static bool loses(const struct process *a, const struct process *b)
{
    return sim_chance(a->host == b->host ? sim->weather.lost_local : sim->weather.lost);
}

struct pipe *pipe_new(struct client *c, struct server *s)
{
    struct pipe *p = xcalloc(1, sizeof(*p));
    *p = (struct pipe){.number = ++net.last_pipe, .client = c, .server = s};
    map_put(net.pipes, &p->number, sizeof(p->number), p);
    return p;
}

/* Says to one end that a pipe is gone. */
struct parting {
    uint32_t pipe;
    struct server *server; /* it lives as long as its process */
    uint64_t client;
};

static void on_server_parted(void *arg)
{
    struct parting *x = arg;
    server_lost(x->server, x->pipe);
    free(x);
}

static void on_client_parted(void *arg)
{
    struct parting *x = arg;
    struct client *c = client_numbered(x->client);
    if (c != NULL && c->pipe == NULL)
        client_lost(c);
    free(x);
}

static void part(struct process *p, const struct pipe *pipe, void (*fire)(void *arg),
                 uint64_t within_us)
{
    struct parting *x = xcalloc(1, sizeof(*x));
    *x = (struct parting){pipe->number, pipe->server, pipe->client->number};
    sim_after(sim_between(1, within_us), p, fire, x, free);
}

void pipe_end(struct pipe *pipe, bool tell_client, bool tell_server, uint64_t within_us)
{
    map_remove(net.pipes, &pipe->number, sizeof(pipe->number));
    pipe->client->pipe = NULL;
    if (tell_client)
        part(pipe->client->process, pipe, on_client_parted, within_us);
    if (tell_server)
        part(pipe->server->process, pipe, on_server_parted, within_us);
    free(pipe);
}

static void on_doom(void *arg)
{
    uint32_t number = (uint32_t)(uintptr_t)arg;
    struct pipe *pipe = pipe_of(number);
    if (pipe != NULL)
        pipe_end(pipe, true, true, 1000);
}

static void doom(struct pipe *pipe, uint64_t within_us)
{
    if (pipe->doomed)
        return;
    pipe->doomed = true;
    sim_after(sim_between(1, within_us), NULL, on_doom, (void *)(uintptr_t)pipe->number, NULL);
}

void net_heal(void)
{
    size_t i = 0;
    void *value;
    while (map_next(net.pipes, &i, NULL, NULL, &value)) {
        struct pipe *pipe = value;
        bool was_cut = is_cut(pipe->client->process, pipe->server->process) ||
                       is_cut(pipe->server->process, pipe->client->process);
        if (was_cut && sim_chance(0.5)) /* else it goes on as if nothing had been */
            doom(pipe, NOTICE_US);
    }
}

void net_process_gone(struct process *p)
{
    uint32_t numbers[1024];
    size_t count = 0, i = 0;
    void *value;
    net_begin();
    while (map_next(net.pipes, &i, NULL, NULL, &value)) {
        const struct pipe *pipe = value;
        if (pipe->client->process == p || pipe->server->process == p) {
            must(count < COUNT_OF(numbers));
            numbers[count++] = pipe->number;
        }
    }
    for (i = 0; i < count; i++) {
        struct pipe *pipe = pipe_of(numbers[i]);
        bool theirs = pipe->client->process == p, ours = pipe->server->process == p;
        pipe_end(pipe, !theirs, !ours, 3000);
    }
}

/* ---- what is on its way */

void transit_drop(void *arg)
{
    struct transit *t = arg;
    packet_drop(t->packet);
    free(t);
}

static void travel(struct transit *t, uint64_t delay_us);

/* What was sent into a cut is sent again by the host until it gets through, or the connection is
 * given up. */
static void on_arrival(void *arg)
{
    struct transit *t = arg;
    const struct pipe *pipe = pipe_of(t->pipe);
    if (pipe == NULL)
        transit_drop(t);
    else if (t->to_server ? is_cut(pipe->client->process, pipe->server->process)
                          : is_cut(pipe->server->process, pipe->client->process))
        travel(t, sim_between(SENT_AGAIN_US / 3, SENT_AGAIN_US));
    else
        t->fire(t);
}

static void travel(struct transit *t, uint64_t delay_us)
{
    const struct pipe *pipe = pipe_of(t->pipe);
    struct process *to = t->to_server ? pipe->server->process : pipe->client->process;
    sim_after(delay_us, to, on_arrival, t, transit_drop);
}

void transit_send(struct packet *packet, struct pipe *pipe, uint64_t call, bool to_server,
                  unsigned copies, void (*fire)(void *arg))
{
    struct process *from = to_server ? pipe->client->process : pipe->server->process;
    struct process *to = to_server ? pipe->server->process : pipe->client->process;
    if (from->dying)
        return;
    if (is_cut(from, to)) {
        doom(pipe, GIVEN_UP_US);
    } else if (loses(from, to)) {
        doom(pipe, NOTICE_US);
        return;
    }
    for (unsigned i = 0; i < copies; i++) {
        struct transit *t = xcalloc(1, sizeof(*t));
        *t = (struct transit){packet, pipe->number, call, to_server, fire};
        packet->references++;
        travel(t, delay_between(from, to) * (i * 20 + 1));
    }
}
