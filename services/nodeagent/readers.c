#include "readers.h"
#include "allocdir.h"
#include "base/id.h"
#include "base/map.h"
#include "readers_parts.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_READERS      128
#define RESULT_BUDGET_MS 60000
#define TRY_AGAIN_MS     500
#define MAX_TRIES        20
#define ARENA_CAP        (64u << 20)

static void reader_free(struct reader *r)
{
    map_remove(r->all->active, r->id, 16);
    timer_cancel(r->all->loop, &r->timer);
    if (r->call != NULL)
        call_cancel(r->call);
    if (r->fd >= 0)
        close(r->fd);
    if (r->has_logs)
        logfiles_close(&r->logs);
    arena_free(r->piece);
    arena_free(r->arena);
    free(r);
}

/* ---- sending */

static void send_again(void *owner);

static void on_answer(void *owner, const struct response *response)
{
    struct reader *r = owner;
    r->call = NULL;
    if (response->code == PB__REPLY__CODE__OK) {
        bool last = r->unanswered->last;
        arena_free(r->piece);
        r->piece = NULL;
        r->unanswered = NULL;
        r->sequence++;
        r->tries = 0;
        if (last)
            reader_free(r);
        else
            reader_next(r);
        return;
    }
    bool lost = response->code == PB__REPLY__CODE__TIMEOUT ||
                response->code == PB__REPLY__CODE__UNAVAILABLE ||
                response->code == PB__REPLY__CODE__BUSY;
    if (!lost || ++r->tries > MAX_TRIES) {
        reader_free(r); /* NOT_FOUND: the reader has gone */
        return;
    }
    timer_arm(r->all->loop, &r->timer, TRY_AGAIN_MS, send_again, r);
}

static void send_again(void *owner)
{
    reader_send(owner);
}

void reader_send(struct reader *r)
{
    const struct call_options o = {
        .method = PB__GATEWAY__METHOD__AGENT_RESULT,
        .body = &r->unanswered->base,
        .budget_ms = RESULT_BUDGET_MS,
        .retry = true,
        .done = on_answer,
        .owner = r,
    };
    r->spoke_ms = loop_now_ms(r->all->loop);
    r->call = client_call(r->all->options.client(r->all->options.owner), &o);
}

Pb__AgentResult *reader_new_piece(struct reader *r)
{
    r->piece = arena_new(ARENA_CAP);
    Pb__AgentResult *p = arena_alloc(r->piece, sizeof *p);
    pb__agent_result__init(p);
    p->has_request_id = p->has_sequence = p->has_node_id = p->has_secret_id = true;
    p->request_id = wire_id(r->piece, r->id);
    p->sequence = r->sequence;
    p->node_id = r->all->options.node->id;
    p->secret_id = r->all->options.node->secret_id;
    r->unanswered = p;
    return p;
}

void reader_drop_piece(struct reader *r)
{
    arena_free(r->piece);
    r->piece = NULL;
    r->unanswered = NULL;
}

void reader_set_last(Pb__AgentResult *p)
{
    p->has_last = p->last = true;
}

void reader_send_error(struct reader *r, uint32_t http_status, const char *reason)
{
    Pb__AgentResult *p = reader_new_piece(r);
    p->error = arena_alloc(r->piece, sizeof *p->error);
    pb__agent_error__init(p->error);
    p->error->has_http_status = true;
    p->error->http_status = http_status;
    p->error->reason = arena_strdup(r->piece, reason);
    reader_set_last(p);
    reader_send(r);
}

void reader_next(void *owner)
{
    struct reader *r = owner;
    switch (r->request->kind) {
    case PB__AGENT_REQUEST__KIND__FS_LIST:
    case PB__AGENT_REQUEST__KIND__FS_STAT:
        reader_next_files(r);
        break;
    case PB__AGENT_REQUEST__KIND__FS_READ:
        reader_next_of_file(r);
        break;
    default:
        reader_next_of_logs(r);
        break;
    }
}

static bool is_of_node(const Pb__AgentRequest *q)
{
    switch (q->kind) {
    case PB__AGENT_REQUEST__KIND__HOST_STATS:
    case PB__AGENT_REQUEST__KIND__META_READ:
    case PB__AGENT_REQUEST__KIND__META_SET:
        return true;
    case PB__AGENT_REQUEST__KIND__COLLECT:
        return !q->has_alloc_id;
    default:
        return false;
    }
}

static void begin(struct reader *r)
{
    char id[ID_TEXT_SIZE], text[80];
    if (!is_of_node(r->request) &&
        runner_find(r->all->options.runner, r->request->alloc_id.data, NULL) == RUNNER_NO_ALLOC) {
        id_format(r->request->alloc_id.data, id);
        snprintf(text, sizeof text, "Unknown allocation \"%s\"", id);
        reader_send_error(r, 404, text);
        return;
    }
    switch (r->request->kind) {
    case PB__AGENT_REQUEST__KIND__FS_LIST:
    case PB__AGENT_REQUEST__KIND__FS_STAT:
        reader_begin_list(r);
        break;
    case PB__AGENT_REQUEST__KIND__FS_READ:
        reader_begin_file(r);
        break;
    case PB__AGENT_REQUEST__KIND__FS_LOGS:
        reader_begin_logs(r);
        break;
    case PB__AGENT_REQUEST__KIND__RESTART:
    case PB__AGENT_REQUEST__KIND__SIGNAL:
        reader_begin_order(r);
        break;
    case PB__AGENT_REQUEST__KIND__STATS:
        reader_begin_stats(r);
        break;
    case PB__AGENT_REQUEST__KIND__HOST_STATS:
        reader_begin_host_stats(r);
        break;
    case PB__AGENT_REQUEST__KIND__META_READ:
    case PB__AGENT_REQUEST__KIND__META_SET:
        reader_begin_meta(r);
        break;
    case PB__AGENT_REQUEST__KIND__COLLECT:
        reader_begin_collect(r);
        break;
    default:
        reader_send_error(r, 501, "this agent does not know how to do that");
        break;
    }
}

void readers_begin(struct readers *all, const Pb__AgentRequest *request)
{
    if (request->id.len != 16 || (request->alloc_id.len != 16 && !is_of_node(request)) ||
        map_get_id(all->active, request->id.data) != NULL)
        return;
    struct reader *r = xcalloc(1, sizeof *r);
    r->all = all;
    r->fd = -1;
    memcpy(r->id, request->id.data, 16);
    r->arena = arena_new(ARENA_CAP);
    r->request = (Pb__AgentRequest *)wire_clone(r->arena, &request->base);
    if (request->alloc_id.len == 16)
        r->root = allocdir_path(r->arena, all->options.data_dir, request->alloc_id.data);
    map_put(all->active, r->id, 16, r);
    if (map_count(all->active) > MAX_READERS)
        reader_send_error(r, 429, "too many readers of this node's files at once");
    else
        begin(r);
}

struct readers *readers_new(struct loop *l, const struct readers_options *o)
{
    struct readers *r = xcalloc(1, sizeof *r);
    r->loop = l;
    r->options = *o;
    r->active = map_new();
    return r;
}

void readers_free(struct readers *r)
{
    const void *key;
    void *value;
    if (r == NULL)
        return;
    for (size_t i = 0; map_next(r->active, &i, &key, NULL, &value);)
        reader_free(value);
    map_free(r->active);
    free(r);
}

size_t readers_count(const struct readers *r)
{
    return map_count(r->active);
}
