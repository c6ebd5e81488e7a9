/* Orders to tasks and to the node, and what both use of the machine. */
#include "hoststats.h"
#include "nodemeta.h"
#include "readers_parts.h"
#include <stdlib.h>
#include <string.h>

#define MEASURE_MS       200 /* between the two looks at what is used */
#define COLLECT_AGAIN_MS 20

static void send_done(void *owner)
{
    struct reader *r = owner;
    reader_set_last(reader_new_piece(r));
    reader_send(r);
}

void reader_begin_order(struct reader *r)
{
    struct reason why;
    struct runner *runner = r->all->options.runner;
    const Pb__AgentRequest *q = r->request;
    enum err e = q->kind == PB__AGENT_REQUEST__KIND__RESTART
                     ? runner_restart(runner, q->alloc_id.data, q->task, &why)
                     : runner_signal(runner, q->alloc_id.data, q->task, q->signal, &why);
    if (e != OK) {
        reader_send_error(r, e == ERR_INVALID ? 400 : 500, why.text);
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
    Pb__AgentResult *p = reader_new_piece(r);
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
    reader_set_last(p);
    reader_send(r);
}

void reader_begin_stats(struct reader *r)
{
    r->look_count =
        runner_look(r->all->options.runner, r->request->alloc_id.data, r->arena, &r->looks);
    timer_arm(r->all->loop, &r->timer, MEASURE_MS, send_usages, r);
}

/* ---- the node */

static void send_json(struct reader *r, json_t *tree)
{
    Pb__AgentResult *p = reader_new_piece(r);
    char *text = json_dumps(tree, JSON_COMPACT);
    p->json = arena_strdup(r->piece, text);
    free(text);
    json_decref(tree);
    reader_set_last(p);
    reader_send(r);
}

static void send_host_stats(void *owner)
{
    struct reader *r = owner;
    const struct readers_options *o = &r->all->options;
    struct host_look now;
    host_look_at(&now, "", loop_wall_ns(r->all->loop));
    send_json(r, host_stats_json(r->host, &now, o->data_dir, core_mhz(o->node)));
}

void reader_begin_host_stats(struct reader *r)
{
    r->host = arena_alloc(r->arena, sizeof *r->host);
    host_look_at(r->host, "", loop_wall_ns(r->all->loop));
    timer_arm(r->all->loop, &r->timer, MEASURE_MS, send_host_stats, r);
}

void reader_begin_meta(struct reader *r)
{
    struct reason why;
    const Pb__AgentRequest *q = r->request;
    struct nodemeta *meta = r->all->options.meta;
    if (q->kind == PB__AGENT_REQUEST__KIND__META_SET) {
        enum err e = nodemeta_set(meta, q->meta, q->n_meta, &why);
        if (e != OK) {
            reader_send_error(r, e == ERR_INVALID ? 400 : 500, why.text);
            return;
        }
    }
    send_json(r, nodemeta_json(meta));
}

static void collect_all(void *owner)
{
    struct reader *r = owner;
    bool done = runner_collect(r->all->options.runner);
    timer_arm(r->all->loop, &r->timer, done ? 0 : COLLECT_AGAIN_MS, done ? send_done : collect_all,
              r);
}

void reader_begin_collect(struct reader *r)
{
    struct runner *runner = r->all->options.runner;
    if (!r->request->has_alloc_id) {
        collect_all(r);
        return;
    }
    if (runner_has(runner, r->request->alloc_id.data)) {
        reader_send_error(r, 500,
                          "No such allocation on client, or allocation not eligible for GC");
        return;
    }
    runner_forget(runner, r->request->alloc_id.data);
    timer_arm(r->all->loop, &r->timer, 0, send_done, r);
}
