#include "devicewatch.h"
#include "base/list.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "devices.h"
#include "program.h"
#include <stdlib.h>

#define ARENA_CAP (8u << 20)

struct devicewatch {
    struct worker_job job;
    struct nodeagent *agent;
    struct worker *worker; /* NULL until it is needed */
    struct timer timer;
    /* of the run under way */
    const char *program;
    int timeout_ms;
    struct strbuf output;
    struct reason why;
    enum err result;
    /* What the file told, and what the program told beside it. */
    Pb__NodeDevice **fixed;
    size_t fixed_count;
    struct arena *arena;
};

static void run(struct worker_job *job)
{
    struct devicewatch *w = container_of(job, struct devicewatch, job);
    strbuf_clear(&w->output);
    w->result = program_output(w->program, w->timeout_ms, DEVICES_TEXT_MOST, &w->output, &w->why);
}

/* True: the node has changed. */
static bool take_over(struct devicewatch *w)
{
    Pb__Node *node = w->agent->node, with = *node;
    struct arena *a = arena_new(ARENA_CAP);
    with.devices = w->fixed;
    with.n_devices = w->fixed_count;
    if (w->result == OK)
        w->result = devices_add(a, strbuf_text(&w->output), w->output.len, &with, &w->why);
    if (w->result != OK || devices_are_same(node, &with)) {
        if (w->result != OK)
            log_warn("devices_unknown", "program=%s reason=%s", log_quote(w->program),
                     log_quote(w->why.text));
        arena_free(a);
        return false;
    }
    node->devices = with.devices;
    node->n_devices = with.n_devices;
    arena_free(w->arena);
    w->arena = a;
    log_info("devices", "program=%s devices=%zu", log_quote(w->program), node->n_devices);
    return true;
}

static void begin_run(void *owner)
{
    struct devicewatch *w = owner;
    if (w->worker == NULL)
        w->worker = worker_new(w->agent->loop);
    worker_submit(w->worker, &w->job);
}

static void on_run(struct worker_job *job)
{
    struct devicewatch *w = container_of(job, struct devicewatch, job);
    if (take_over(w))
        uplink_node_changed(w->agent->uplink);
    timer_arm(w->agent->loop, &w->timer, w->agent->device_interval_ms, begin_run, w);
}

void devicewatch_begin(struct nodeagent *na)
{
    if (na->device_program[0] == '\0')
        return;
    struct devicewatch *w = na->devicewatch = xcalloc(1, sizeof *w);
    *w = (struct devicewatch){.agent = na,
                              .program = na->device_program,
                              .timeout_ms = (int)na->device_timeout_ms,
                              .fixed = na->node->devices,
                              .fixed_count = na->node->n_devices};
    w->job.work = run;
    w->job.done = on_run;
    run(&w->job);
    take_over(w);
}

void devicewatch_start(struct nodeagent *na)
{
    struct devicewatch *w = na->devicewatch;
    if (w != NULL && na->device_interval_ms > 0)
        timer_arm(na->loop, &w->timer, na->device_interval_ms, begin_run, w);
}

void devicewatch_end(struct nodeagent *na)
{
    struct devicewatch *w = na->devicewatch;
    if (w == NULL)
        return;
    timer_cancel(na->loop, &w->timer);
    worker_free(w->worker);
    loop_unpost(na->loop, &w->job.done_post);
    na->node->n_devices = 0; /* they lie in the arena that ends */
    arena_free(w->arena);
    strbuf_free(&w->output);
    free(w);
    na->devicewatch = NULL;
}
