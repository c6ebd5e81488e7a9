/* common/loop over virtual time, and the order of all that happens. */
#include "base/boot.h"
#include "base/clock.h"
#include "base/err.h"
#include "sim.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define EPOCH_NS 1760000000000000000 /* any day */

struct sim *sim;

/* Something that happens once. */
struct event {
    struct heap_item item;
    uint64_t at_us, order;
    struct process *process;
    uint64_t start; /* of which life of the process */
    void (*fire)(void *arg), (*drop)(void *arg);
    void *arg;
};

struct loop {
    struct process *process;
    struct heap_item item; /* among the loops, by its next timer */
    struct heap timers;
    uint64_t next_us, order;
    struct link steps;
};

static bool event_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct event *x = container_of(a, const struct event, item);
    const struct event *y = container_of(b, const struct event, item);
    return x->at_us != y->at_us ? x->at_us < y->at_us : x->order < y->order;
}

static bool loop_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct loop *x = container_of(a, const struct loop, item);
    const struct loop *y = container_of(b, const struct loop, item);
    return x->next_us != y->next_us ? x->next_us < y->next_us : x->order < y->order;
}

static bool timer_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct timer *x = container_of(a, const struct timer, item);
    const struct timer *y = container_of(b, const struct timer, item);
    return x->due_ms != y->due_ms ? x->due_ms < y->due_ms : x->order < y->order;
}

void sim_new(uint64_t seed, bool verbose)
{
    must(sim == NULL);
    sim = xcalloc(1, sizeof(*sim));
    sim->seed = seed;
    sim->verbose = verbose;
    sim->trace = seed;
    prng_seed(&sim->prng, seed);
    heap_init(&sim->queue, event_before);
    heap_init(&sim->loops, loop_before);
}

static void event_free(struct event *e)
{
    if (e->drop != NULL)
        e->drop(e->arg);
    free(e);
}

void sim_free(void)
{
    struct heap_item *item;
    while ((item = heap_pop(&sim->queue)) != NULL)
        event_free(container_of(item, struct event, item));
    heap_fini(&sim->queue);
    heap_fini(&sim->loops);
    free(sim);
    sim = NULL;
}

void sim_after(uint64_t delay_us, struct process *p, void (*fire)(void *arg), void *arg,
               void (*drop)(void *arg))
{
    struct event *e = xcalloc(1, sizeof(*e));
    *e = (struct event){.at_us = sim->now_us + delay_us,
                        .order = ++sim->order,
                        .process = p,
                        .start = p != NULL ? p->starts : 0,
                        .fire = fire,
                        .drop = drop,
                        .arg = arg};
    heap_push(&sim->queue, &e->item);
}

/* ---- chance */

uint64_t sim_below(uint64_t bound)
{
    return prng_below(&sim->prng, bound);
}

bool sim_chance(double p)
{
    return p > 0 && prng_unit(&sim->prng) < p;
}

uint64_t sim_between(uint64_t low, uint64_t high)
{
    return low + prng_below(&sim->prng, high - low + 1);
}

uint64_t sim_about(uint64_t mean)
{
    double x = -log(1.0 - prng_unit(&sim->prng));
    return (uint64_t)((double)mean * (x > 8 ? 8 : x)) + 1;
}

/* What the product takes from the kernel: ids, and the keys of its hash maps. */
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    unsigned char *out = buffer;
    for (size_t i = 0; i < size; i++)
        out[i] = sim == NULL ? (unsigned char)(i * 37 + 11) : (unsigned char)prng_next(&sim->prng);
    return (ssize_t)size;
}

uint64_t clock_monotonic_ms(void)
{
    return sim == NULL ? 0 : sim->now_us / 1000;
}

int64_t clock_wall_ns(void)
{
    int64_t shift = sim->current != NULL ? sim->current->host->wall_shift_ns : 0;
    return EPOCH_NS + (int64_t)sim->now_us * 1000 + shift;
}

void boot_id(char out[BOOT_ID_SIZE])
{
    const struct host *h = sim->current->host;
    snprintf(out, BOOT_ID_SIZE, "%s-%u", h->name, h->boots);
}

/* ---- steps and timers */

static void place(struct loop *l)
{
    struct heap_item *top = heap_top(&l->timers);
    heap_remove(&sim->loops, &l->item);
    if (top == NULL)
        return;
    l->next_us = container_of(top, struct timer, item)->due_ms * 1000;
    if (l->process->hung_until_us > l->next_us)
        l->next_us = l->process->hung_until_us;
    heap_push(&sim->loops, &l->item);
}

static void run_steps(struct loop *l)
{
    struct step *s;
    while ((s = list_first(&l->steps, struct step, link)) != NULL) {
        list_remove(&s->link);
        s->run(s->owner);
    }
}

void turn_begin(struct process *p)
{
    sim->current = p;
}

void turn_end(struct process *p)
{
    if (p->self != NULL)
        run_steps(p->loop);
    sim->current = NULL;
    process_end_maybe(p);
}

static void mix_step(uint64_t at_us, const struct process *p)
{
    uint64_t words[2] = {at_us, p != NULL ? (uint64_t)(p - sim->processes) : UINT64_MAX};
    trace_mix(words, sizeof(words));
    sim->events++;
}

static void fire_timers(struct loop *l)
{
    struct process *p = l->process;
    struct heap_item *item = heap_pop(&l->timers);
    struct timer *t = container_of(item, struct timer, item);
    place(l);
    mix_step(sim->now_us, p);
    turn_begin(p);
    t->fire(t->owner);
    turn_end(p);
}

static void fire_event(struct event *e)
{
    struct process *p = e->process;
    if (p != NULL && (p->self == NULL || p->starts != e->start)) {
        event_free(e);
        return;
    }
    if (p != NULL && p->hung_until_us > sim->now_us) {
        e->at_us = p->hung_until_us;
        heap_push(&sim->queue, &e->item);
        return;
    }
    mix_step(sim->now_us, p);
    if (p != NULL)
        turn_begin(p);
    e->fire(e->arg);
    if (p != NULL)
        turn_end(p);
    free(e);
}

bool sim_step(uint64_t until_us)
{
    struct heap_item *a = heap_top(&sim->queue), *b = heap_top(&sim->loops);
    uint64_t event_us = a != NULL ? container_of(a, struct event, item)->at_us : UINT64_MAX;
    uint64_t timer_us = b != NULL ? container_of(b, struct loop, item)->next_us : UINT64_MAX;
    uint64_t next_us = event_us < timer_us ? event_us : timer_us;
    if (next_us > until_us) {
        sim->now_us = until_us;
        return false;
    }
    if (next_us > sim->now_us)
        sim->now_us = next_us;
    if (event_us <= timer_us) {
        must(a != NULL);
        heap_pop(&sim->queue);
        fire_event(container_of(a, struct event, item));
        return true;
    }
    struct loop *l = container_of(b, struct loop, item);
    if (l->process->hung_until_us > sim->now_us)
        place(l);
    else
        fire_timers(l);
    return true;
}

/* ---- loop.h */

struct loop *sim_loop_new(struct process *p)
{
    struct loop *l = xcalloc(1, sizeof(*l));
    l->process = p;
    l->order = (uint64_t)(p - sim->processes);
    heap_init(&l->timers, timer_before);
    list_init(&l->steps);
    return l;
}

void sim_loop_free(struct loop *l)
{
    heap_remove(&sim->loops, &l->item);
    heap_fini(&l->timers);
    free(l);
}

struct process *loop_process(const struct loop *l)
{
    return l->process;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return sim->now_us / 1000;
}

int64_t loop_wall_ns(const struct loop *l)
{
    return EPOCH_NS + (int64_t)sim->now_us * 1000 + l->process->host->wall_shift_ns;
}

uint64_t loop_random(struct loop *l)
{
    return prng_next(&sim->prng);
}

void timer_arm(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(void *owner),
               void *owner)
{
    t->due_ms = loop_now_ms(l) + (delay_ms > UINT32_MAX ? UINT32_MAX : delay_ms);
    t->order = ++sim->order;
    t->fire = fire;
    t->owner = owner;
    if (timer_is_armed(t))
        heap_update(&l->timers, &t->item);
    else
        heap_push(&l->timers, &t->item);
    place(l);
}

void timer_cancel(struct loop *l, struct timer *t)
{
    if (!timer_is_armed(t))
        return;
    heap_remove(&l->timers, &t->item);
    place(l);
}

bool timer_is_armed(const struct timer *t)
{
    return t->item.slot != 0;
}

void step_mark(struct loop *l, struct step *s, void (*run)(void *owner), void *owner)
{
    if (s->link.next != NULL)
        return;
    s->run = run;
    s->owner = owner;
    list_push_back(&l->steps, &s->link);
}

void step_cancel(struct step *s)
{
    list_remove(&s->link);
}

/* ---- the worker thread: a disk that takes its time */

struct worker {
    struct loop *loop;
    struct link jobs;
    bool busy;
};

static void begin_job(struct worker *w);

static void on_job_over(void *arg)
{
    struct worker *w = arg;
    struct worker_job *job = list_first(&w->jobs, struct worker_job, link);
    list_remove(&job->link);
    w->busy = false;
    job->work(job);
    begin_job(w);
    job->done(job);
}

static void begin_job(struct worker *w)
{
    if (w->busy || list_empty(&w->jobs))
        return;
    struct process *p = w->loop->process;
    w->busy = true;
    sim_after(sim_between(50, 50 + p->host->disk_us), p, on_job_over, w, NULL);
}

struct worker *worker_new(struct loop *l)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    w->loop = l;
    list_init(&w->jobs);
    return w;
}

void worker_submit(struct worker *w, struct worker_job *job)
{
    list_push_back(&w->jobs, &job->link);
    begin_job(w);
}

/* Of a process that is killed, what is under way was done or was not; the rest was not. */
void worker_free(struct worker *w)
{
    struct worker_job *job;
    if (w == NULL)
        return;
    struct process *p = w->loop->process;
    bool killed = p->dying, first = w->busy && sim_chance(0.5);
    while ((job = list_first(&w->jobs, struct worker_job, link)) != NULL) {
        list_remove(&job->link);
        p->dying = killed && !first;
        if (!p->dying)
            job->work(job);
        first = false;
    }
    p->dying = killed;
    free(w);
}
