/* /v1/client/fs/ and /v1/client/allocation/ID/snapshot: files and logs of an allocation, read by
 * its node's agent and passed on as they come. Nothing is read ahead of a slow reader. */
#include "answer.h"
#include "forward.h"
#include "base/id.h"
#include "names.h"
#include "nouns.h"
#include "objects.h"
#include "urls.h"
#include "wire/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS 1000u
#define UNSENT_MAX   (128u << 10)

enum form {
    AS_LIST,   /* ls */
    AS_STAT,   /* stat */
    AS_BYTES,  /* cat, readat */
    AS_FRAMES, /* stream, logs */
    AS_PLAIN,  /* stream, logs with plain */
    AS_TAR,    /* snapshot */
};

struct reading {
    struct call_context *context;
    enum form form;
    unsigned error_status;  /* 0: as the agent says */
    const char *error_type; /* content type of errors once the reading has begun */
    Pb__AgentRequest request;
    uint8_t alloc_id[ID_SIZE], node_id[ID_SIZE];
    struct ask *ask; /* NULL: over */
    struct timer heartbeat;
    json_t *listed;          /* ls: what came in earlier results */
    bool streaming, wanting; /* wanting: the agent waits for agents_more */
};

/* ---- the answer */

static void finish(struct reading *r)
{
    timer_cancel(r->context->gateway->loop, &r->heartbeat);
    json_decref(r->listed);
    if (r->streaming)
        exchange_end(r->context->x);
    free(r);
}

static void fail(struct reading *r, unsigned status, const char *type, const char *text)
{
    struct strbuf body = STRBUF_INIT;
    if (!r->streaming) {
        strbuf_puts(&body, text);
        exchange_reply(r->context->x, status, type, &body);
    }
    finish(r);
}

static void on_room(void *owner)
{
    struct reading *r = owner;
    if (r->wanting && r->ask != NULL) {
        r->wanting = false;
        agents_more(r->ask);
    }
}

static void on_gone(void *owner)
{
    struct reading *r = owner;
    if (r->ask != NULL)
        agents_cancel(r->ask);
    if (!r->streaming) /* still owed an answer, which nobody reads */
        answer_nothing(r->context->x, 200);
    finish(r);
}

static void begin_stream(struct reading *r)
{
    struct exchange *x = r->context->x;
    if (r->streaming)
        return;
    r->streaming = true;
    if (r->form == AS_BYTES) {
        exchange_set(x, "Content-Security-Policy",
                     "default-src 'none'; style-src 'unsafe-inline'; sandbox");
        exchange_set(x, "X-Content-Type-Options", "nosniff");
        exchange_set(x, "X-Xss-Protection", "1; mode=block");
    }
    bool is_logs = r->request.kind == PB__AGENT_REQUEST__KIND__FS_LOGS;
    exchange_stream(x, 200,
                    r->form == AS_PLAIN ? "text/plain"
                    : r->form == AS_TAR ? "application/octet-stream"
                    : is_logs           ? "application/json"
                                        : TEXT_PLAIN,
                    on_room, on_gone, r);
}

static void beat(void *owner)
{
    struct reading *r = owner;
    begin_stream(r);
    if (r->form == AS_FRAMES && exchange_unsent(r->context->x) < UNSENT_MAX)
        exchange_write(r->context->x, "{}", 2);
    timer_arm(r->context->gateway->loop, &r->heartbeat, HEARTBEAT_MS, beat, r);
}

static void put_base64(struct strbuf *out, ProtobufCBinaryData data)
{
    json_t *text = json_base64(data);
    strbuf_puts(out, json_string_value(text));
    json_decref(text);
}

static void write_frame(struct reading *r, const Pb__AgentResult *result)
{
    struct strbuf frame = STRBUF_INIT;
    bool has_event = result->file_event != NULL && result->file_event[0] != '\0';
    if (result->data.len == 0 && !has_event)
        return;
    strbuf_putc(&frame, '{');
    if (result->data.len > 0) {
        strbuf_puts(&frame, "\"Data\":\"");
        put_base64(&frame, result->data);
        strbuf_puts(&frame, "\",");
    }
    json_t *file = json_text(result->file == NULL ? r->request.path : result->file);
    strbuf_puts(&frame, "\"File\":");
    json_text_write(&frame, file, false);
    json_decref(file);
    if (has_event) {
        json_t *event = json_text(result->file_event);
        strbuf_puts(&frame, ",\"FileEvent\":");
        json_text_write(&frame, event, false);
        json_decref(event);
    }
    strbuf_printf(&frame, ",\"Offset\":%lld}", (long long)result->offset);
    exchange_write(r->context->x, frame.data, frame.len);
    strbuf_free(&frame);
}

static json_t *file_json(const Pb__FileInfo *f, bool is_stat)
{
    json_t *tree = json_pack("{so,sb,so,so,sI}", "FileMode", json_text(f->file_mode), "IsDir",
                             f->is_dir, "ModTime", json_rfc3339(f->mod_time), "Name",
                             json_text(f->name), "Size", (json_int_t)f->size);
    if (is_stat)
        json_put(tree, "ContentType",
                 json_text(f->content_type == NULL ? "application/octet-stream" : f->content_type));
    return tree;
}

/* The whole of a listing or of a stat is one result. */
static void answer_files(struct reading *r, const Pb__AgentResult *result)
{
    struct call_context *c = r->context;
    if (r->form == AS_STAT) {
        Pb__FileInfo none = PB__FILE_INFO__INIT;
        answer_json(c->x, file_json(result->n_files > 0 ? result->files[0] : &none, true),
                    c->params.pretty);
        return;
    }
    json_t *list = r->listed == NULL ? json_array() : r->listed;
    r->listed = NULL;
    for (size_t i = 0; i < result->n_files; i++)
        json_array_append_new(list, file_json(result->files[i], false));
    if (result->last)
        answer_json(c->x, list, c->params.pretty);
    else
        r->listed = list;
}

/* A short file in one piece needs no stream. */
static void answer_bytes(struct reading *r, const Pb__AgentResult *result)
{
    struct exchange *x = r->context->x;
    struct strbuf body = STRBUF_INIT;
    if (result->data.len > 0) {
        exchange_set(x, "Content-Security-Policy",
                     "default-src 'none'; style-src 'unsafe-inline'; sandbox");
        exchange_set(x, "X-Content-Type-Options", "nosniff");
        exchange_set(x, "X-Xss-Protection", "1; mode=block");
        strbuf_add(&body, result->data.data, result->data.len);
    }
    exchange_reply(x, 200, TEXT_PLAIN, &body);
}

static void pass_on(struct reading *r, const Pb__AgentResult *result)
{
    if (r->form == AS_LIST || r->form == AS_STAT) {
        if (r->form == AS_LIST || result->last)
            answer_files(r, result);
        return;
    }
    if (r->form == AS_BYTES && !r->streaming && result->last) {
        answer_bytes(r, result);
        return;
    }
    begin_stream(r);
    if (r->form == AS_FRAMES)
        write_frame(r, result);
    else if (result->data.len > 0)
        exchange_write(r->context->x, result->data.data, result->data.len);
}

static void on_result(void *owner, const Pb__AgentResult *result)
{
    struct reading *r = owner;
    const Pb__AgentError *error = result->error;
    if (error != NULL) {
        unsigned status = r->error_status != 0      ? r->error_status
                          : error->http_status != 0 ? error->http_status
                                                    : 500;
        r->ask = NULL;
        fail(r, status, r->error_type, error->reason == NULL ? "" : error->reason);
        return;
    }
    pass_on(r, result);
    if (result->last) {
        r->ask = NULL;
        finish(r);
    } else if (!r->streaming || exchange_unsent(r->context->x) < UNSENT_MAX) {
        agents_more(r->ask);
    } else {
        r->wanting = true;
    }
}

/* ---- the question */

static void ask_agent(struct reading *r)
{
    struct gateway *g = r->context->gateway;
    exchange_on_gone(r->context->x, on_gone, r);
    r->ask = agents_ask(g->agents, r->node_id, &r->request, on_result, r);
    if (r->request.follow && r->form != AS_TAR)
        timer_arm(g->loop, &r->heartbeat, HEARTBEAT_MS, beat, r);
}

/* When no server has the node's agent ours says so, or waits for it. */
static void on_decided(void *owner, bool taken)
{
    if (taken)
        finish(owner);
    else
        ask_agent(owner);
}

static void on_alloc(void *owner, const struct response *response)
{
    struct reading *r = owner;
    struct gateway *g = r->context->gateway;
    const Pb__Object *o = (const Pb__Object *)response->body;
    char text[128];
    if (response->code == PB__REPLY__CODE__NOT_FOUND) {
        snprintf(text, sizeof(text), "Unknown allocation \"%s\"",
                 r->context->state == NULL ? "" : (char *)r->context->state);
        fail(r, r->error_status == 200 ? 200 : 404, r->error_type, text);
        return;
    }
    if (response->code != PB__REPLY__CODE__OK || object_alloc(o) == NULL ||
        object_alloc(o)->node_id.len != ID_SIZE) {
        answer_failure(r->context->x, response);
        finish(r);
        return;
    }
    const uint8_t *node_id = object_alloc(o)->node_id.data;
    memcpy(r->node_id, node_id, ID_SIZE);
    if (agents_is_connected(g->agents, node_id) || exchange_must_stay(r->context->x))
        ask_agent(r);
    else
        forward_to_node(g->forward, r->context->x, node_id, on_decided, r);
}

static void start(struct call_context *c, const struct reading *form, const char *id)
{
    struct reading *r = xcalloc(1, sizeof(*r));
    *r = *form;
    r->context = c;
    c->state = arena_strdup(exchange_arena(c->x), id);
    must(id_parse(id, r->alloc_id));
    r->request.alloc_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = r->alloc_id};
    r->request.has_alloc_id = r->request.has_kind = 1;
    Pb__Key key = PB__KEY__INIT;
    key.has_table = key.has_id = 1;
    key.table = PB__TABLE__NAME__ALLOCS;
    key.id = r->request.alloc_id;
    gateway_get(c->gateway, c->params.stale, &key, on_alloc, r);
}

/* NULL, or what is wrong. */
static const char *read_int(struct call_context *c, const char *name, bool required, int64_t *out)
{
    const char *text = exchange_arg(c->x, name);
    char *end;
    if ((text == NULL || text[0] == '\0') && !required)
        return NULL;
    errno = 0;
    *out = strtoll(text == NULL ? "" : text, &end, 10);
    if (text != NULL && text[0] != '\0' && *end == '\0' && errno == 0)
        return NULL;
    return arena_printf(exchange_arena(c->x),
                        "error parsing %s: strconv.ParseInt: parsing \"%s\": invalid syntax", name,
                        text == NULL ? "" : text);
}

static const char *read_bool(struct call_context *c, const char *name, bool *out)
{
    const char *text = exchange_arg(c->x, name);
    if (text == NULL || text[0] == '\0' || parse_bool(text, out))
        return NULL;
    return arena_printf(exchange_arena(c->x),
                        "failed to parse %s field to boolean: strconv.ParseBool: parsing \"%s\": "
                        "invalid syntax",
                        name, text);
}

static const char *read_origin(struct call_context *c, bool *from_end)
{
    const char *text = exchange_arg(c->x, "origin");
    *from_end = text != NULL && strcmp(text, "end") == 0;
    if (text == NULL || text[0] == '\0' || *from_end || strcmp(text, "start") == 0)
        return NULL;
    return "origin must be start or end";
}

static const char *read_path(struct call_context *c, Pb__AgentRequest *q)
{
    const char *path = exchange_arg(c->x, "path");
    q->path = (char *)(uintptr_t)path;
    return path == NULL || path[0] == '\0' ? "must provide a file name" : NULL;
}

static const char *ask_ls(struct call_context *c, struct reading *r)
{
    const char *path = exchange_arg(c->x, "path");
    r->form = AS_LIST;
    r->request.kind = PB__AGENT_REQUEST__KIND__FS_LIST;
    r->request.path = (char *)(uintptr_t)(path == NULL || path[0] == '\0' ? "/" : path);
    return NULL;
}

static const char *ask_stat(struct call_context *c, struct reading *r)
{
    r->form = AS_STAT;
    r->request.kind = PB__AGENT_REQUEST__KIND__FS_STAT;
    return read_path(c, &r->request);
}

static const char *ask_cat(struct call_context *c, struct reading *r)
{
    r->form = AS_BYTES;
    r->request.kind = PB__AGENT_REQUEST__KIND__FS_READ;
    r->error_status = 200;
    return read_path(c, &r->request);
}

static const char *ask_readat(struct call_context *c, struct reading *r)
{
    int64_t offset = 0, limit = -1;
    const char *problem = ask_cat(c, r);
    if (problem == NULL)
        problem = read_int(c, "offset", true, &offset);
    if (problem == NULL)
        problem = read_int(c, "limit", false, &limit);
    r->request.has_offset = r->request.has_limit = 1;
    r->request.offset = offset;
    r->request.limit = limit > 0 ? limit : 0;
    return problem;
}

static const char *read_range(struct call_context *c, struct reading *r)
{
    int64_t offset = 0;
    bool from_end = false;
    const char *problem = read_int(c, "offset", false, &offset);
    if (problem == NULL)
        problem = read_origin(c, &from_end);
    r->request.has_offset = r->request.has_from_end = 1;
    r->request.offset = offset < 0 ? 0 : offset;
    r->request.from_end = from_end;
    return problem;
}

static const char *ask_stream(struct call_context *c, struct reading *r)
{
    bool follow = true, plain = false;
    r->request.kind = PB__AGENT_REQUEST__KIND__FS_READ;
    r->error_status = 400;
    const char *problem = read_path(c, &r->request);
    if (problem == NULL)
        problem = read_bool(c, "follow", &follow);
    if (problem == NULL) /* Nomad's stream knows only frames; nctl wants bytes, as from logs */
        problem = read_bool(c, "plain", &plain);
    r->form = plain ? AS_PLAIN : AS_FRAMES;
    if (problem == NULL)
        problem = read_range(c, r);
    r->request.has_follow = 1;
    r->request.follow = follow;
    return problem;
}

static const char *ask_logs(struct call_context *c, struct reading *r)
{
    bool follow = false, plain = false;
    const char *task = exchange_arg(c->x, "task"), *type = exchange_arg(c->x, "type"), *problem;
    r->request.kind = PB__AGENT_REQUEST__KIND__FS_LOGS;
    r->error_type = "application/json";
    if (task == NULL || task[0] == '\0')
        return "must provide task name";
    if ((problem = read_bool(c, "follow", &follow)) != NULL ||
        (problem = read_bool(c, "plain", &plain)) != NULL)
        return problem;
    if (type == NULL || (strcmp(type, "stdout") != 0 && strcmp(type, "stderr") != 0))
        return "must provide log type (stdout/stderr)";
    r->form = plain ? AS_PLAIN : AS_FRAMES;
    r->request.task = (char *)(uintptr_t)task;
    r->request.log_type = (char *)(uintptr_t)type;
    r->request.has_follow = 1;
    r->request.follow = follow;
    return read_range(c, r);
}

static const struct operation {
    const char *name;
    unsigned problem_status;
    const char *(*ask)(struct call_context *c, struct reading *r);
} operations[] = {
    {"ls", 400, ask_ls},         {"stat", 400, ask_stat},     {"cat", 200, ask_cat},
    {"readat", 200, ask_readat}, {"stream", 400, ask_stream}, {"logs", 400, ask_logs},
};

static const struct operation *find_operation(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(operations); i++)
        if (strlen(operations[i].name) == len && memcmp(operations[i].name, name, len) == 0)
            return &operations[i];
    return NULL;
}

void fs_any(struct call_context *c)
{
    struct reading r = {.error_type = TEXT_PLAIN};
    size_t len = strcspn(c->id, "/");
    const struct operation *op = find_operation(c->id, len);
    const char *id = c->id[len] == '/' ? c->id + len + 1 : "";
    if (op == NULL) {
        answer_text(c->x, 404, "Invalid method");
        return;
    }
    if (id[0] == '\0') {
        answer_text(c->x, 400, "must provide a valid alloc id");
        return;
    }
    pb__agent_request__init(&r.request);
    const char *problem = op->ask(c, &r);
    if (problem != NULL)
        answer_text(c->x, op->problem_status, "%s", problem);
    else if (id_problem(id) != NULL)
        answer_text(c->x, r.error_status == 200 ? 200 : 500, "alloc lookup failed: %s",
                    id_problem(id));
    else
        start(c, &r, id);
}

/* ---- a snapshot */

void alloc_snapshot_get(struct call_context *c)
{
    struct reading r = {.form = AS_TAR, .error_type = TEXT_PLAIN};
    bool ended = false;
    const char *problem = read_bool(c, "ended", &ended);
    pb__agent_request__init(&r.request);
    r.request.kind = PB__AGENT_REQUEST__KIND__SNAPSHOT;
    r.request.has_follow = 1;
    r.request.follow = ended;
    if (problem != NULL)
        answer_text(c->x, 400, "%s", problem);
    else if (id_problem(c->id) != NULL)
        answer_text(c->x, 400, "alloc lookup failed: %s", id_problem(c->id));
    else
        start(c, &r, c->id);
}
