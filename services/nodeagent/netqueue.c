#include "netqueue.h"
#include "base/list.h"
#include "base/log.h"
#include "program.h"
#include <stdlib.h>
#include <string.h>

#define RUN_TIMEOUT_MS 60000 /* plugins of CNI may ask others for an address */
#define ANSWER_MOST    131072
#define ARGUMENTS      20

struct netqueue {
    struct loop *loop;
    struct netqueue_options options;
    struct worker *worker; /* NULL until it is needed */
    struct netrun *under_way;
    struct link urgent, runs; /* that wait */
};

struct netrun {
    struct worker_job job;
    struct netqueue *queue;
    struct link link;
    char **argv; /* ends with NULL */
    struct strbuf said;
    struct reason why;
    enum err result;
    const char *verb; /* among argv */
    void (*done)(void *owner, enum err result, const char *text);
    void *owner;
};

struct netqueue *netqueue_new(struct loop *l, const struct netqueue_options *o)
{
    struct netqueue *q = xcalloc(1, sizeof *q);
    q->loop = l;
    q->options = *o;
    list_init(&q->urgent);
    list_init(&q->runs);
    return q;
}

static void run_free(struct netrun *r)
{
    list_remove(&r->link);
    for (size_t i = 0; r->argv[i] != NULL; i++)
        free(r->argv[i]);
    free(r->argv);
    strbuf_free(&r->said);
    free(r);
}

static struct netrun *first_of(struct netqueue *q)
{
    struct netrun *r = list_first(&q->urgent, struct netrun, link);
    return r != NULL ? r : list_first(&q->runs, struct netrun, link);
}

/* What waits is not done: the next agent's first run does what is left. */
void netqueue_free(struct netqueue *q)
{
    struct netrun *r;
    if (q == NULL)
        return;
    worker_free(q->worker);
    if (q->under_way != NULL) {
        loop_unpost(q->loop, &q->under_way->job.done_post);
        run_free(q->under_way);
    }
    while ((r = first_of(q)) != NULL)
        run_free(r);
    free(q);
}

/* The last line is "ok", which is cut off, or why not. */
static void work(struct worker_job *job)
{
    struct netrun *r = container_of(job, struct netrun, job);
    r->result = program_run(r->argv, RUN_TIMEOUT_MS, ANSWER_MOST, &r->said, &r->why);
    if (r->result != OK)
        return;
    size_t len = r->said.len;
    if (len >= 3 && strcmp(r->said.data + len - 3, "ok\n") == 0) {
        r->said.data[len - 3] = '\0';
        return;
    }
    const char *said = len == 0 ? "tasknet has died" : r->said.data;
    r->result = reason_set(&r->why, ERR_UNAVAILABLE, "%.*s", (int)strcspn(said, "\n"), said);
}

static void start_next(struct netqueue *q)
{
    struct netrun *r = first_of(q);
    if (q->under_way != NULL || r == NULL)
        return;
    if (q->worker == NULL)
        q->worker = worker_new(q->loop);
    list_remove(&r->link);
    q->under_way = r;
    worker_submit(q->worker, &r->job);
}

static void on_done(struct worker_job *job)
{
    struct netrun *r = container_of(job, struct netrun, job);
    struct netqueue *q = r->queue;
    q->under_way = NULL;
    start_next(q);
    if (r->result != OK)
        log_warn("network_failed", "verb=%s reason=%s", r->verb, log_quote(r->why.text));
    if (r->done != NULL)
        r->done(r->owner, r->result, r->result == OK ? strbuf_text(&r->said) : r->why.text);
    run_free(r);
}

static size_t add_argument(char **argv, size_t n, const char *text)
{
    argv[n] = xstrdup(text);
    return n + 1;
}

static void set_arguments(struct netrun *r, const struct netqueue_options *o,
                          const struct netask *ask)
{
    const char *const options[][2] = {{"--dir", o->dir},
                                      {"--bridge", o->bridge},
                                      {"--subnet", o->subnet},
                                      {"--cni-path", o->cni_path},
                                      {"--cni", ask->cni},
                                      {"--cni-config-dir", o->cni_config_dir},
                                      {"--cni-args", ask->cni_args}};
    r->argv = xcalloc(ARGUMENTS + ask->count, sizeof *r->argv);
    size_t n = add_argument(r->argv, 0, o->tasknet);
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i][1] != NULL) {
            n = add_argument(r->argv, n, options[i][0]);
            n = add_argument(r->argv, n, options[i][1]);
        }
    r->verb = r->argv[n] = xstrdup(ask->verb);
    for (size_t i = 0; i < ask->count; i++) {
        struct strbuf text = STRBUF_INIT;
        netplace_text(&ask->places[i], &text);
        r->argv[++n] = strbuf_take(&text);
    }
}

struct netrun *netqueue_add(struct netqueue *q, const struct netask *ask,
                            void (*done)(void *owner, enum err result, const char *text),
                            void *owner)
{
    struct netrun *r = xcalloc(1, sizeof *r);
    set_arguments(r, &q->options, ask);
    r->done = done;
    r->owner = owner;
    r->job.work = work;
    r->job.done = on_done;
    r->queue = q;
    list_push_back(strcmp(r->verb, "remove") == 0 ? &q->runs : &q->urgent, &r->link);
    start_next(q);
    return r;
}

void netrun_forget(struct netrun *r)
{
    if (r != NULL)
        r->done = NULL;
}
