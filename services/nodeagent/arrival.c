#include "arrival.h"
#include "base/id.h"
#include "base/strbuf.h"
#include "gateway.pb-c.h"
#include "helper.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS   30000u
#define AGAIN_MS 2000u
#define REACH_MS 60000u /* nobody could be asked for so long: given up */
#define PROGRESS_MS                                                                                \
    600000u /* nothing came for so long: likewise; a task may take its time to end */
#define MOST_SAID 1024
#define NO_PATH   "No path to node" /* its agent may be on its way back */

struct arrival {
    struct loop *loop;
    struct arrival_options options;
    char id[ID_TEXT_SIZE];
    uint64_t since_ms;
    /* the gateway */
    struct call *call;
    struct timer again, progress;
    uint8_t stream[ID_SIZE];
    bool last;
    /* the process */
    pid_t pid; /* 0: none */
    int to, from;
    struct watch *to_watch, *from_watch;
    struct strbuf piece, said;
    size_t written;
};

static void ask(void *owner);

/* ---- the end */

static void stop(struct arrival *a)
{
    call_cancel(a->call);
    a->call = NULL;
    timer_cancel(a->loop, &a->again);
    timer_cancel(a->loop, &a->progress);
    watch_close(a->to_watch);
    watch_close(a->from_watch);
    a->to_watch = a->from_watch = NULL;
    if (a->to >= 0)
        close(a->to);
    if (a->from >= 0)
        close(a->from);
    a->to = a->from = -1;
    if (a->pid != 0)
        kill(-a->pid, SIGKILL);
    a->pid = 0;
}

static void end(struct arrival *a, enum err result, const char *text)
{
    stop(a);
    a->options.over(a->options.owner, result, text);
}

static void on_no_progress(void *owner)
{
    end(owner, ERR_TIMEOUT, "nothing came for ten minutes");
}

static void note_progress(struct arrival *a)
{
    timer_arm(a->loop, &a->progress, PROGRESS_MS, on_no_progress, a);
}

/* ---- what comes */

static void end_input(struct arrival *a)
{
    watch_close(a->to_watch);
    a->to_watch = NULL;
    close(a->to);
    a->to = -1;
}

/* Then the process says what it made of it. */
static void write_on(struct arrival *a)
{
    while (a->to >= 0 && a->written < a->piece.len) {
        ssize_t n = write(a->to, a->piece.data + a->written, a->piece.len - a->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            watch_set(a->to_watch, WATCH_WRITE);
            return;
        }
        if (n < 0) {
            end_input(a); /* it has ended, and has said why */
            return;
        }
        a->written += (size_t)n;
    }
    if (a->to < 0)
        return;
    watch_set(a->to_watch, 0);
    if (a->last)
        end_input(a);
    else
        ask(a);
}

static void on_writable(void *owner, int events)
{
    write_on(owner);
}

static void ask_again(struct arrival *a, const char *why)
{
    char text[300];
    if (loop_now_ms(a->loop) - a->since_ms < REACH_MS) {
        timer_arm(a->loop, &a->again, AGAIN_MS, ask, a);
        return;
    }
    snprintf(text, sizeof text, "nobody can be asked for it: %.200s", why);
    end(a, ERR_TIMEOUT, text);
}

static void take(struct arrival *a, const Pb__HttpReply *reply)
{
    strbuf_clear(&a->piece);
    strbuf_add(&a->piece, reply->data.data, reply->data.len);
    a->written = 0;
    a->last = reply->last;
    if (reply->data.len > 0)
        note_progress(a);
    write_on(a);
}

static bool has_stream(const struct arrival *a)
{
    static const uint8_t none[ID_SIZE];
    return memcmp(a->stream, none, ID_SIZE) != 0;
}

static void on_reply(void *owner, const struct response *r)
{
    struct arrival *a = owner;
    const Pb__HttpReply *reply = (const Pb__HttpReply *)r->body;
    char text[300];
    a->call = NULL;
    bool good = r->code == PB__REPLY__CODE__OK && reply != NULL;
    if (has_stream(a)) {
        if (good)
            take(a, reply);
        else
            end(a, ERR_CORRUPT, "the gateway has lost it on the way");
    } else if (good && reply->status == 200) {
        if (reply->stream_id.len == ID_SIZE)
            memcpy(a->stream, reply->stream_id.data, ID_SIZE);
        take(a, reply);
    } else if (!good) {
        ask_again(a, r->reason == NULL ? "no gateway answers" : r->reason);
    } else {
        snprintf(text, sizeof text, "%.*s", (int)(reply->data.len < 200 ? reply->data.len : 200),
                 (const char *)reply->data.data);
        if (reply->status == 404 && strcmp(text, NO_PATH) != 0)
            end(a, ERR_NOT_FOUND, text);
        else
            ask_again(a, text);
    }
}

static void call(struct arrival *a, int method, const ProtobufCMessage *body)
{
    a->call = client_call(a->options.client(a->options.client_owner),
                          &(struct call_options){.method = method,
                                                 .body = body,
                                                 .reply = &pb__http_reply__descriptor,
                                                 .budget_ms = ASK_MS,
                                                 .done = on_reply,
                                                 .owner = a});
}

static void ask_first(struct arrival *a)
{
    char method[] = "GET", path[80], name[] = "ended", value[] = "true";
    Pb__KeyValue arg = PB__KEY_VALUE__INIT, *args[] = {&arg};
    Pb__HttpRequest q = PB__HTTP_REQUEST__INIT;
    snprintf(path, sizeof path, "/v1/client/allocation/%s/snapshot", a->id);
    arg.key = name;
    arg.value = value;
    q.method = method;
    q.path = path;
    q.args = args;
    q.n_args = 1;
    q.has_of_agent = q.of_agent = true;
    call(a, PB__GATEWAY__METHOD__HTTP, &q.base);
}

static void ask(void *owner)
{
    struct arrival *a = owner;
    Pb__HttpMore more = PB__HTTP_MORE__INIT;
    if (!has_stream(a)) {
        ask_first(a);
        return;
    }
    more.has_stream_id = true;
    more.stream_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = a->stream};
    call(a, PB__GATEWAY__METHOD__HTTP_MORE, &more.base);
}

/* ---- the process */

static void on_said(void *owner, int events)
{
    struct arrival *a = owner;
    char part[256];
    ssize_t n = read(a->from, part, sizeof part);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && a->said.len + (size_t)n <= MOST_SAID) {
        strbuf_add(&a->said, part, (size_t)n);
        return;
    }
    char text[MOST_SAID + 1];
    a->pid = n == 0 ? 0 : a->pid; /* it has closed its output: it has ended */
    snprintf(text, sizeof text, "%.*s", (int)strcspn(strbuf_text(&a->said), "\n"),
             strbuf_text(&a->said));
    if (strcmp(text, "ok") == 0)
        end(a, OK, "");
    else if (strncmp(text, "damaged: ", 9) == 0)
        end(a, ERR_CORRUPT, text + 9);
    else if (strncmp(text, "failed: ", 8) == 0)
        end(a, ERR_IO, text + 8);
    else
        end(a, ERR_UNAVAILABLE, "the program that unpacks it was killed");
}

static enum err spawn(struct arrival *a, struct reason *why)
{
    char most[24], verb[] = "unpack";
    char *argv[] = {(char *)(uintptr_t)a->options.taskmove, verb, (char *)(uintptr_t)a->options.dir,
                    most, NULL};
    int in[2], out[2];
    snprintf(most, sizeof most, "%" PRIu64, a->options.max_bytes);
    if (pipe2(in, O_CLOEXEC) != 0)
        return reason_errno(why, ERR_UNAVAILABLE, "make a pipe");
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return reason_errno(why, ERR_UNAVAILABLE, "make a pipe");
    }
    enum err e = helper_spawn(&a->pid, argv, in[0], out[1], why);
    close(in[0]);
    close(out[1]);
    a->to = in[1];
    a->from = out[0];
    if (e != OK)
        a->pid = 0;
    return e;
}

enum err arrival_new(struct arrival **out, struct loop *l, const struct arrival_options *o,
                     struct reason *why)
{
    struct arrival *a = xcalloc(1, sizeof *a);
    a->loop = l;
    a->options = *o;
    a->to = a->from = -1;
    a->since_ms = loop_now_ms(l);
    id_format(o->from, a->id);
    enum err e = spawn(a, why);
    if (e != OK) {
        arrival_free(a);
        return e;
    }
    fcntl(a->to, F_SETFL, O_NONBLOCK);
    fcntl(a->from, F_SETFL, O_NONBLOCK);
    a->to_watch = watch_open(l, a->to, 0, on_writable, a);
    a->from_watch = watch_open(l, a->from, WATCH_READ, on_said, a);
    note_progress(a);
    ask(a);
    *out = a;
    return OK;
}

void arrival_free(struct arrival *a)
{
    if (a == NULL)
        return;
    stop(a);
    strbuf_free(&a->piece);
    strbuf_free(&a->said);
    free(a);
}
