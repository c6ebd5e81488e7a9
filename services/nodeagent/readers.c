#include "readers.h"
#include "allocdir.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "fs.h"
#include "logfiles.h"
#include "orders.h"
#include "wire/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_READERS      128
#define PIECE            65536
#define FILES_PER_PIECE  500
#define LOOK_AGAIN_MS    100
#define MEASURE_MS       200  /* between the two looks at what tasks use */
#define SIGN_OF_LIFE_MS  8000 /* the gateway gives up a silent follower soon after ten seconds */
#define RESULT_BUDGET_MS 60000
#define TRY_AGAIN_MS     500
#define MAX_TRIES        20
#define ARENA_CAP        (64u << 20)

struct readers {
    struct loop *loop;
    struct readers_options options;
    struct map *active; /* request id -> struct reader */
};

struct reader {
    struct readers *all;
    uint8_t id[16];
    struct arena *arena; /* request, path, list */
    Pb__AgentRequest *request;
    char *root;
    uint32_t sequence;
    unsigned tries;
    uint64_t spoke_ms;
    struct timer timer;
    struct call *call;
    Pb__AgentResult *unanswered; /* in piece; sent again when an answer is lost */
    struct arena *piece;
    /* a list */
    Pb__FileInfo **files;
    size_t file_count, files_sent;
    /* a file */
    int fd;
    int64_t offset, left; /* left -1: no limit */
    /* logs */
    struct logfiles logs;
    bool has_logs;
    /* statistics: the first look */
    struct task_look *looks;
    size_t look_count;
};

static void next_piece(void *owner);

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

static void send_piece(void *owner);

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
            next_piece(r);
        return;
    }
    bool lost = response->code == PB__REPLY__CODE__TIMEOUT ||
                response->code == PB__REPLY__CODE__UNAVAILABLE ||
                response->code == PB__REPLY__CODE__BUSY;
    if (!lost || ++r->tries > MAX_TRIES) {
        reader_free(r); /* NOT_FOUND: the reader has gone */
        return;
    }
    timer_arm(r->all->loop, &r->timer, TRY_AGAIN_MS, send_piece, r);
}

static void send_piece(void *owner)
{
    struct reader *r = owner;
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

static Pb__AgentResult *new_piece(struct reader *r)
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

static void drop_piece(struct reader *r)
{
    arena_free(r->piece);
    r->piece = NULL;
    r->unanswered = NULL;
}

static void set_last(Pb__AgentResult *p)
{
    p->has_last = p->last = true;
}

static void send_error(struct reader *r, uint32_t http_status, const char *reason)
{
    Pb__AgentResult *p = new_piece(r);
    p->error = arena_alloc(r->piece, sizeof *p->error);
    pb__agent_error__init(p->error);
    p->error->has_http_status = true;
    p->error->http_status = http_status;
    p->error->reason = arena_strdup(r->piece, reason);
    set_last(p);
    send_piece(r);
}

/* ---- lists */

static void next_files(struct reader *r)
{
    Pb__AgentResult *p = new_piece(r);
    size_t n = r->file_count - r->files_sent;
    p->n_files = n > FILES_PER_PIECE ? FILES_PER_PIECE : n;
    p->files = r->files + r->files_sent;
    r->files_sent += p->n_files;
    if (r->files_sent == r->file_count)
        set_last(p);
    send_piece(r);
}

/* ---- orders and statistics */

static void send_done(void *owner)
{
    struct reader *r = owner;
    set_last(new_piece(r));
    send_piece(r);
}

static void begin_order(struct reader *r)
{
    struct reason why;
    struct runner *runner = r->all->options.runner;
    const Pb__AgentRequest *q = r->request;
    enum err e = q->kind == PB__AGENT_REQUEST__KIND__RESTART
                     ? runner_restart(runner, q->alloc_id.data, q->task, &why)
                     : runner_signal(runner, q->alloc_id.data, q->task, q->signal, &why);
    if (e != OK) {
        send_error(r, e == ERR_INVALID ? 400 : 500, why.text);
        return;
    }
    /* The step at the end of this turn writes it down. Only then is it promised. */
    timer_arm(r->all->loop, &r->timer, 0, send_done, r);
}

static double core_mhz(const Pb__Node *node)
{
    for (size_t i = 0; i < node->n_attributes; i++)
        if (strcmp(node->attributes[i]->key, "cpu.frequency") == 0)
            return strtod(node->attributes[i]->value, NULL);
    return 0;
}

static const struct usage_look *first_look(const struct reader *r, const char *task)
{
    for (size_t i = 0; i < r->look_count; i++)
        if (strcmp(r->looks[i].task, task) == 0)
            return &r->looks[i].look;
    return NULL;
}

/* One that began after the first look is measured by the next question. */
static void send_usages(void *owner)
{
    struct reader *r = owner;
    struct task_look *now;
    Pb__AgentResult *p = new_piece(r);
    size_t count = runner_look(r->all->options.runner, r->request->alloc_id.data, r->piece, &now);
    p->usages = arena_array(r->piece, Pb__TaskUsage *, count);
    for (size_t i = 0; i < count; i++) {
        const struct usage_look *then = first_look(r, now[i].task);
        if (then == NULL)
            continue;
        Pb__TaskUsage *u = usage_between(r->piece, then, &now[i].look);
        u->task = (char *)(uintptr_t)now[i].task;
        u->has_mhz = true;
        u->mhz = core_mhz(r->all->options.node);
        p->usages[p->n_usages++] = u;
    }
    set_last(p);
    send_piece(r);
}

static void begin_stats(struct reader *r)
{
    r->look_count =
        runner_look(r->all->options.runner, r->request->alloc_id.data, r->arena, &r->looks);
    timer_arm(r->all->loop, &r->timer, MEASURE_MS, send_usages, r);
}

/* ---- files and logs */

static void wait_for_more(struct reader *r)
{
    if (loop_now_ms(r->all->loop) - r->spoke_ms < SIGN_OF_LIFE_MS) {
        drop_piece(r);
        timer_arm(r->all->loop, &r->timer, LOOK_AGAIN_MS, next_piece, r);
    } else {
        send_piece(r); /* empty: shows that we are there, and tells whether the reader still is */
    }
}

static void set_data(struct reader *r, void *data, size_t len, const char *file, int64_t offset)
{
    Pb__AgentResult *p = r->unanswered;
    p->has_data = p->has_offset = true;
    p->data.data = data;
    p->data.len = len;
    p->file = arena_strdup(r->piece, file);
    p->offset = offset;
}

/* What has become of a file that is followed and has nothing new. True: told. */
static bool file_event(struct reader *r)
{
    struct stat st;
    Pb__AgentResult *p = r->unanswered;
    if (fstat(r->fd, &st) != 0)
        return false;
    if (st.st_size < r->offset) {
        p->file_event = arena_strdup(r->piece, "file truncated");
        r->offset = 0;
    } else if (st.st_nlink == 0) {
        p->file_event = arena_strdup(r->piece, "file deleted");
        set_last(p);
    } else {
        return false;
    }
    p->file = arena_strdup(r->piece, r->request->path);
    send_piece(r);
    return true;
}

static void next_of_file(struct reader *r)
{
    new_piece(r);
    char *data = arena_alloc(r->piece, PIECE);
    size_t wanted = r->left >= 0 && r->left < PIECE ? (size_t)r->left : PIECE;
    ssize_t n = wanted == 0 ? 0 : pread(r->fd, data, wanted, r->offset);
    if (n > 0) {
        r->offset += n;
        r->left -= r->left >= 0 ? n : 0;
        set_data(r, data, (size_t)n, r->request->path, r->offset);
        send_piece(r);
    } else if (!r->request->follow || n < 0 || wanted == 0) {
        set_last(r->unanswered);
        send_piece(r);
    } else if (!file_event(r)) {
        wait_for_more(r);
    }
}

static void next_of_logs(struct reader *r)
{
    struct reason why;
    size_t got;
    char name[512];
    new_piece(r);
    char *data = arena_alloc(r->piece, PIECE);
    if (logfiles_read(&r->logs, data, PIECE, &got, &why) != OK) {
        drop_piece(r);
        send_error(r, 500, why.text);
    } else if (got > 0) {
        logfiles_name(&r->logs, name, sizeof name);
        set_data(r, data, got, name, r->logs.offset);
        send_piece(r);
    } else if (r->request->follow) {
        wait_for_more(r);
    } else {
        set_last(r->unanswered);
        send_piece(r);
    }
}

static void next_piece(void *owner)
{
    struct reader *r = owner;
    switch (r->request->kind) {
    case PB__AGENT_REQUEST__KIND__FS_LIST:
    case PB__AGENT_REQUEST__KIND__FS_STAT:
        next_files(r);
        break;
    case PB__AGENT_REQUEST__KIND__FS_READ:
        next_of_file(r);
        break;
    default:
        next_of_logs(r);
        break;
    }
}

/* ---- beginning */

static const char *text_or(const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : text;
}

static void begin_list(struct reader *r)
{
    struct reason why;
    const char *path = text_or(r->request->path, "/");
    enum err e;
    if (r->request->kind == PB__AGENT_REQUEST__KIND__FS_STAT) {
        r->files = arena_array(r->arena, Pb__FileInfo *, 1);
        r->file_count = 1;
        e = fs_stat(r->arena, r->root, path, &r->files[0], &why);
    } else {
        e = fs_list(r->arena, r->root, path, &r->files, &r->file_count, &why);
    }
    if (e == OK)
        next_files(r);
    else
        send_error(r, 500, why.text);
}

static void begin_file(struct reader *r)
{
    struct reason why;
    struct stat st;
    if (r->request->path == NULL)
        r->request->path = arena_strdup(r->arena, "/");
    if (fs_open(r->root, r->request->path, &r->fd, &why) != OK) {
        send_error(r, 400, why.text);
        return;
    }
    int64_t offset = r->request->offset < 0 ? 0 : r->request->offset;
    if (r->request->from_end && fstat(r->fd, &st) == 0)
        offset = offset > st.st_size ? 0 : st.st_size - offset;
    r->offset = offset;
    r->left = r->request->limit > 0 ? r->request->limit : -1;
    next_of_file(r);
}

static void begin_logs(struct reader *r)
{
    struct reason why;
    char text[300];
    const char *task = text_or(r->request->task, "");
    const char *type = text_or(r->request->log_type, "stdout");
    switch (runner_find(r->all->options.runner, r->request->alloc_id.data, task)) {
    case RUNNER_NO_ALLOC:
    case RUNNER_NO_TASK:
        snprintf(text, sizeof text, "unknown task name \"%.200s\"", task);
        send_error(r, 400, text);
        return;
    case RUNNER_NOT_STARTED:
        snprintf(text, sizeof text, "task \"%.200s\" not started yet. No logs available", task);
        send_error(r, 404, text);
        return;
    case RUNNER_FOUND:
        break;
    }
    if (logfiles_open(&r->logs, r->root, task, type, r->request->offset, r->request->from_end,
                      &why) != OK) {
        send_error(r, 500, why.text);
        return;
    }
    r->has_logs = true;
    next_of_logs(r);
}

static void begin(struct reader *r)
{
    char id[ID_TEXT_SIZE], text[80];
    if (runner_find(r->all->options.runner, r->request->alloc_id.data, NULL) == RUNNER_NO_ALLOC) {
        id_format(r->request->alloc_id.data, id);
        snprintf(text, sizeof text, "Unknown allocation \"%s\"", id);
        send_error(r, 404, text);
        return;
    }
    switch (r->request->kind) {
    case PB__AGENT_REQUEST__KIND__FS_LIST:
    case PB__AGENT_REQUEST__KIND__FS_STAT:
        begin_list(r);
        break;
    case PB__AGENT_REQUEST__KIND__FS_READ:
        begin_file(r);
        break;
    case PB__AGENT_REQUEST__KIND__FS_LOGS:
        begin_logs(r);
        break;
    case PB__AGENT_REQUEST__KIND__RESTART:
    case PB__AGENT_REQUEST__KIND__SIGNAL:
        begin_order(r);
        break;
    case PB__AGENT_REQUEST__KIND__STATS:
        begin_stats(r);
        break;
    default:
        send_error(r, 501, "this agent does not know how to do that");
        break;
    }
}

void readers_begin(struct readers *all, const Pb__AgentRequest *request)
{
    if (request->id.len != 16 || request->alloc_id.len != 16 ||
        map_get_id(all->active, request->id.data) != NULL)
        return;
    struct reader *r = xcalloc(1, sizeof *r);
    r->all = all;
    r->fd = -1;
    memcpy(r->id, request->id.data, 16);
    r->arena = arena_new(ARENA_CAP);
    r->request = (Pb__AgentRequest *)wire_clone(r->arena, &request->base);
    r->root = allocdir_path(r->arena, all->options.data_dir, request->alloc_id.data);
    map_put(all->active, r->id, 16, r);
    if (map_count(all->active) > MAX_READERS)
        send_error(r, 429, "too many readers of this node's files at once");
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
