#include "loop/loop.h"
#include "base/err.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <unistd.h>

struct probe {
    struct loop *l;
    struct timer timer;
    struct step step;
    int *order, *count;
    int number;
    bool last;
};

static void note(void *owner)
{
    struct probe *p = owner;
    p->order[(*p->count)++] = p->number;
    if (p->last)
        loop_stop(p->l);
}

Test(loop, timers_fire_in_order_of_time_then_of_arming)
{
    static const int delays[] = {20, 5, 5, 0, 10};
    static const int expected[] = {3, 1, 2, 4, 0};
    struct loop *l = loop_new();
    int order[5], count = 0;
    struct probe probes[5] = {0};
    for (int i = 0; i < 5; i++) {
        probes[i] =
            (struct probe){.l = l, .order = order, .count = &count, .number = i, .last = i == 0};
        timer_arm(l, &probes[i].timer, (uint64_t)delays[i], note, &probes[i]);
        cr_assert(timer_is_armed(&probes[i].timer));
    }
    loop_run(l);
    cr_assert_eq(count, 5);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(order[i], expected[i]);
    loop_free(l);
}

Test(loop, a_cancelled_timer_does_not_fire_and_a_rearmed_one_fires_once)
{
    struct loop *l = loop_new();
    int order[5], count = 0;
    struct probe a = {.l = l, .order = order, .count = &count, .number = 1}, b = a, end = a;
    b.number = 2;
    end.number = 3;
    end.last = true;
    timer_arm(l, &a.timer, 1, note, &a);
    timer_arm(l, &b.timer, 1, note, &b);
    timer_arm(l, &b.timer, 5, note, &b);
    timer_arm(l, &end.timer, 10, note, &end);
    timer_cancel(l, &a.timer);
    timer_cancel(l, &a.timer);
    loop_run(l);
    cr_assert_eq(count, 2);
    cr_assert_eq(order[0], 2);
    cr_assert_eq(order[1], 3);
    loop_free(l);
}

static void mark_twice(void *owner)
{
    struct probe *p = owner;
    step_mark(p->l, &p->step, note, p);
    step_mark(p->l, &p->step, note, p);
    cr_assert_eq(*p->count, 0, "not at once");
}

Test(loop, a_step_runs_once_however_often_it_was_marked)
{
    struct loop *l = loop_new();
    int order[5], count = 0;
    struct probe p = {.l = l, .order = order, .count = &count, .last = true}, never = p;
    step_mark(l, &never.step, note, &never);
    step_cancel(&never.step);
    timer_arm(l, &p.timer, 0, mark_twice, &p);
    loop_run(l);
    cr_assert_eq(count, 1);
    loop_free(l);
}

#define POSTS   20000
#define THREADS 3

struct posted {
    struct post post;
    struct poster *from;
    int number;
};

struct poster {
    struct loop *l;
    int next, *left;
    struct posted items[POSTS];
};

static void on_posted(void *arg)
{
    struct posted *item = arg;
    cr_assert_eq(item->number, item->from->next++, "in order");
    if (--*item->from->left == 0)
        loop_stop(item->from->l);
}

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < POSTS; i++) {
        poster->items[i] = (struct posted){
            .post = {.fire = on_posted, .arg = &poster->items[i]}, .from = poster, .number = i};
        loop_post(poster->l, &poster->items[i].post);
    }
    return NULL;
}

Test(loop, posts_of_several_threads_all_arrive_each_in_its_order)
{
    struct loop *l = loop_new();
    int left = THREADS * POSTS;
    static struct poster posters[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        posters[i].l = l;
        posters[i].left = &left;
        cr_assert_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    loop_run(l);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(left, 0);
    loop_free(l);
}

struct task {
    struct worker_job job;
    struct loop *l;
    pthread_t loop_thread;
    int *done_count;
    int number;
};

static void work(struct worker_job *job)
{
    struct task *t = container_of(job, struct task, job);
    cr_assert(!pthread_equal(pthread_self(), t->loop_thread));
}

static void done(struct worker_job *job)
{
    struct task *t = container_of(job, struct task, job);
    cr_assert(pthread_equal(pthread_self(), t->loop_thread));
    cr_assert_eq(t->number, (*t->done_count)++);
    if (*t->done_count == 100)
        loop_stop(t->l);
}

Test(loop, a_worker_does_its_jobs_in_order_and_reports_on_the_loop)
{
    struct loop *l = loop_new();
    struct worker *w = worker_new(l);
    struct task tasks[100];
    int done_count = 0;
    for (int i = 0; i < 100; i++) {
        tasks[i] = (struct task){.job = {.work = work, .done = done},
                                 .l = l,
                                 .loop_thread = pthread_self(),
                                 .done_count = &done_count,
                                 .number = i};
        worker_submit(w, &tasks[i].job);
    }
    loop_run(l);
    cr_assert_eq(done_count, 100);
    worker_free(w);
    loop_free(l);
}

struct reader {
    struct loop *l;
    int fd, got;
};

static void on_readable(void *owner, int events)
{
    struct reader *r = owner;
    char c;
    cr_assert(events & WATCH_READ);
    cr_assert_eq(read(r->fd, &c, 1), 1);
    if (++r->got == 3)
        loop_stop(r->l);
}

Test(loop, a_watch_tells_when_there_is_something_to_read)
{
    struct reader r = {.l = loop_new()};
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    r.fd = fds[0];
    struct watch *w = watch_open(r.l, fds[0], WATCH_READ, on_readable, &r);
    cr_assert_eq(write(fds[1], "abc", 3), 3);
    loop_run(r.l);
    cr_assert_eq(r.got, 3);
    watch_close(w);
    close(fds[0]);
    close(fds[1]);
    loop_free(r.l);
}
