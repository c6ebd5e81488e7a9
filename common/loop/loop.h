/* The one loop of a daemon: timers, file descriptors, and what other threads hand in. Chosen at
 * link time: over libuv here, over virtual time in the simulator. All callbacks run on the loop's
 * thread. */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/heap.h"
#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);

uint64_t loop_now_ms(const struct loop *l); /* monotonic; constant within one turn of the loop */
int64_t loop_wall_ns(const struct loop *l); /* since 1970 */
/* One pointer that a library keeps for all that runs on this loop: net's, see net_secure. */
void loop_set_context(struct loop *l, const void *context);
const void *loop_context(const struct loop *l);
uint64_t loop_random(struct loop *l); /* for jitter and seeds; from the seed in the simulator */

/* A one-shot timer, embedded in its owner; all zero is a valid unarmed timer. */
struct timer {
    struct heap_item item;
    uint64_t due_ms;
    uint64_t order; /* of equal due times the one armed first fires first */
    void (*fire)(void *owner);
    void *owner;
};
void timer_arm(struct loop *l, struct timer *t, uint64_t delay_ms, void (*fire)(void *owner),
               void *owner);                        /* re-arms too */
void timer_cancel(struct loop *l, struct timer *t); /* harmless when not armed */
bool timer_is_armed(const struct timer *t);

/* Runs fire(owner) once at the end of this turn, however often it was marked: react by noting, act
 * by stepping. */
struct step {
    struct link link;
    void (*run)(void *owner);
    void *owner;
};
void step_mark(struct loop *l, struct step *s, void (*run)(void *owner), void *owner);
void step_cancel(struct step *s);

/* From any thread: runs fire(arg) on the loop's thread, in order. The item is the caller's until it
 * has run. */
struct post {
    struct link link;
    void (*fire)(void *arg);
    void *arg;
};
void loop_post(struct loop *l, struct post *p);
/* On the loop's thread: takes back a post. False: it was not posted, or has run. */
bool loop_unpost(struct loop *l, struct post *p);

/* A descriptor to watch. Not in the simulator: for nodeagent, gateway's HTTP and tools. */
struct watch;
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch *watch_open(struct loop *l, int fd, int events, void (*ready)(void *owner, int events),
                         void *owner);
void watch_set(struct watch *w, int events);
void watch_close(struct watch *w); /* does not close fd */

/* A worker thread for where the kernel makes us wait (fsync, a slow probe): runs jobs one after
 * another, in order. work runs on the worker and shares nothing but job; done runs on the loop. */
struct worker;
struct worker_job {
    struct post done_post;
    struct link link;
    void (*work)(struct worker_job *job);
    void (*done)(struct worker_job *job);
};
struct worker *worker_new(struct loop *l);
void worker_submit(struct worker *w, struct worker_job *job);
/* Finishes what is queued. A job may be done and not told yet: who frees it takes back its
 * done_post. */
void worker_free(struct worker *w);

#endif
