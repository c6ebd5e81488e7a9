#include "loop/loop.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/prng.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <uv.h>

struct loop {
    uv_loop_t uv;
    uv_timer_t next_timer;
    uv_prepare_t before_wait; /* runs the steps, then sets next_timer */
    uv_check_t after_wait;    /* runs the steps of what just came in */
    uv_async_t wake;          /* posts are waiting */
    struct heap timers;
    uint64_t timer_order;
    struct link steps;
    struct prng prng;
    pthread_mutex_t posts_lock;
    struct link posts;
    const void *context;
};

static bool timer_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct timer *x = container_of(a, const struct timer, item);
    const struct timer *y = container_of(b, const struct timer, item);
    return x->due_ms != y->due_ms ? x->due_ms < y->due_ms : x->order < y->order;
}

static struct timer *next_timer(const struct loop *l)
{
    struct heap_item *top = heap_top(&l->timers);
    return top != NULL ? container_of(top, struct timer, item) : NULL;
}

static void run_steps(struct loop *l)
{
    struct step *s;
    while ((s = list_first(&l->steps, struct step, link)) != NULL) {
        list_remove(&s->link);
        s->run(s->owner);
    }
}

static void on_timer(uv_timer_t *handle)
{
    struct loop *l = handle->data;
    uint64_t now = loop_now_ms(l), last = l->timer_order; /* what is armed meanwhile waits a turn */
    struct timer *t;
    while ((t = next_timer(l)) != NULL && t->due_ms <= now && t->order <= last) {
        heap_remove(&l->timers, &t->item);
        t->fire(t->owner);
    }
}

static void on_before_wait(uv_prepare_t *handle)
{
    struct loop *l = handle->data;
    run_steps(l);
    const struct timer *t = next_timer(l);
    if (t == NULL) {
        uv_timer_stop(&l->next_timer);
        return;
    }
    uint64_t now = loop_now_ms(l);
    must(uv_timer_start(&l->next_timer, on_timer, t->due_ms > now ? t->due_ms - now : 0, 0) == 0);
}

static void on_after_wait(uv_check_t *handle)
{
    run_steps(handle->data);
}

static void on_wake(uv_async_t *handle)
{
    struct loop *l = handle->data;
    struct link batch;
    list_init(&batch);
    pthread_mutex_lock(&l->posts_lock);
    if (!list_empty(&l->posts)) { /* move all: new ones go to an empty list */
        batch = l->posts;
        batch.next->prev = batch.prev->next = &batch;
        list_init(&l->posts);
    }
    pthread_mutex_unlock(&l->posts_lock);
    struct post *p;
    while ((p = list_first(&batch, struct post, link)) != NULL) {
        list_remove(&p->link);
        p->fire(p->arg);
    }
}

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof(*l));
    uint64_t seed = 0;
    must(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
    prng_seed(&l->prng, seed);
    heap_init(&l->timers, timer_before);
    list_init(&l->steps);
    list_init(&l->posts);
    must(pthread_mutex_init(&l->posts_lock, NULL) == 0);
    must(uv_loop_init(&l->uv) == 0);
    must(uv_timer_init(&l->uv, &l->next_timer) == 0);
    must(uv_prepare_init(&l->uv, &l->before_wait) == 0);
    must(uv_check_init(&l->uv, &l->after_wait) == 0);
    must(uv_async_init(&l->uv, &l->wake, on_wake) == 0);
    l->next_timer.data = l->before_wait.data = l->after_wait.data = l->wake.data = l;
    must(uv_prepare_start(&l->before_wait, on_before_wait) == 0);
    must(uv_check_start(&l->after_wait, on_after_wait) == 0);
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    uv_close((uv_handle_t *)&l->next_timer, NULL);
    uv_close((uv_handle_t *)&l->before_wait, NULL);
    uv_close((uv_handle_t *)&l->after_wait, NULL);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT); /* lets them, and closed watches, end */
    must(uv_loop_close(&l->uv) == 0);
    heap_fini(&l->timers);
    pthread_mutex_destroy(&l->posts_lock);
    free(l);
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}

int64_t loop_wall_ns(const struct loop *l)
{
    return clock_wall_ns();
}

void loop_set_context(struct loop *l, const void *context)
{
    l->context = context;
}

const void *loop_context(const struct loop *l)
{
    return l->context;
}

uint64_t loop_random(struct loop *l)
{
    return prng_next(&l->prng);
}

void timer_arm(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(void *owner),
               void *owner)
{
    t->due_ms = loop_now_ms(l) + delay_ms;
    t->order = ++l->timer_order;
    t->fire = fire;
    t->owner = owner;
    if (timer_is_armed(t))
        heap_update(&l->timers, &t->item);
    else
        heap_push(&l->timers, &t->item);
}

void timer_cancel(struct loop *l, struct timer *t)
{
    heap_remove(&l->timers, &t->item);
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

void loop_post(struct loop *l, struct post *p)
{
    pthread_mutex_lock(&l->posts_lock);
    bool first = list_empty(&l->posts);
    list_push_back(&l->posts, &p->link);
    pthread_mutex_unlock(&l->posts_lock);
    if (first) /* else a wake-up is under way */
        uv_async_send(&l->wake);
}

bool loop_unpost(struct loop *l, struct post *p)
{
    pthread_mutex_lock(&l->posts_lock);
    bool posted = p->link.next != NULL;
    list_remove(&p->link);
    pthread_mutex_unlock(&l->posts_lock);
    return posted;
}

/* ---- watches */

struct watch {
    uv_poll_t uv;
    void (*ready)(void *owner, int events);
    void *owner;
};

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct watch *w = handle->data;
    if (status < 0) /* an error on the descriptor: the owner will meet it when it reads */
        events = UV_READABLE | UV_WRITABLE;
    w->ready(w->owner,
             (events & UV_READABLE ? WATCH_READ : 0) | (events & UV_WRITABLE ? WATCH_WRITE : 0));
}

struct watch *watch_open(struct loop *l, int fd, int events, void (*ready)(void *owner, int events),
                         void *owner)
{
    struct watch *w = xcalloc(1, sizeof(*w));
    w->ready = ready;
    w->owner = owner;
    must(uv_poll_init(&l->uv, &w->uv, fd) == 0);
    w->uv.data = w;
    watch_set(w, events);
    return w;
}

void watch_set(struct watch *w, int events)
{
    int wanted = (events & WATCH_READ ? UV_READABLE : 0) | (events & WATCH_WRITE ? UV_WRITABLE : 0);
    must((wanted != 0 ? uv_poll_start(&w->uv, wanted, on_ready) : uv_poll_stop(&w->uv)) == 0);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void watch_close(struct watch *w)
{
    if (w != NULL)
        uv_close((uv_handle_t *)&w->uv, on_watch_closed);
}
