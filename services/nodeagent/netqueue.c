#include "netqueue.h"
#include "base/list.h"
#include "base/log.h"
#include "program.h"
#include <stdlib.h>
#include <string.h>

#define RUN_TIMEOUT_MS 20000
#define ANSWER_MOST    4096
#define VERB           7 /* its place among the arguments */

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
    void (*done)(void *owner, enum err result, const struct reason *why);
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

/* The last line is "ok", or why not. */
static void work(struct worker_job *job)
{
    struct netrun *r = container_of(job, struct netrun, job);
    r->result = program_run(r->argv, RUN_TIMEOUT_MS, ANSWER_MOST, &r->said, &r->why);
    if (r->result != OK || strcmp(strbuf_text(&r->said), "ok\n") == 0)
        return;
    const char *said = strbuf_text(&r->said);
    r->result = reason_set(&r->why, ERR_UNAVAILABLE, "%.*s", (int)strcspn(said, "\n"),
                           said[0] == '\0' ? "tasknet has died" : said);
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
        log_warn("network_failed", "verb=%s reason=%s", r->argv[VERB], log_quote(r->why.text));
    if (r->done != NULL)
        r->done(r->owner, r->result, &r->why);
    run_free(r);
}

static char **arguments(const struct netqueue_options *o, const char *verb,
                        const struct netplace *places, size_t count)
{
    const char *const fixed[] = {o->tasknet, "--dir",    o->dir,    "--bridge",
                                 o->bridge,  "--subnet", o->subnet, verb};
    char **argv = xcalloc(COUNT_OF(fixed) + count + 1, sizeof *argv);
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        argv[i] = xstrdup(fixed[i]);
    for (size_t i = 0; i < count; i++) {
        struct strbuf text = STRBUF_INIT;
        netplace_text(&places[i], &text);
        argv[COUNT_OF(fixed) + i] = strbuf_take(&text);
    }
    return argv;
}

struct netrun *netqueue_add(struct netqueue *q, const char *verb, const struct netplace *places,
                            size_t count,
                            void (*done)(void *owner, enum err result, const struct reason *why),
                            void *owner)
{
    struct netrun *r = xcalloc(1, sizeof *r);
    r->argv = arguments(&q->options, verb, places, count);
    r->done = done;
    r->owner = owner;
    r->job.work = work;
    r->job.done = on_done;
    r->queue = q;
    list_push_back(strcmp(verb, "remove") == 0 ? &q->runs : &q->urgent, &r->link);
    start_next(q);
    return r;
}

void netrun_forget(struct netrun *r)
{
    if (r != NULL)
        r->done = NULL;
}
