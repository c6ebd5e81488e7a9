#include "base/err.h"
#include "loop/loop.h"
#include <pthread.h>
#include <stdlib.h>

struct worker {
    struct loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct link jobs;
    bool ending;
};

static void on_done(void *arg)
{
    struct worker_job *job = arg;
    job->done(job);
}

/* NULL when there is nothing left and the worker is to end. */
static struct worker_job *take_job(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (list_empty(&w->jobs) && !w->ending)
        pthread_cond_wait(&w->more, &w->lock);
    struct worker_job *job = list_first(&w->jobs, struct worker_job, link);
    if (job != NULL)
        list_remove(&job->link);
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work_on(void *arg)
{
    struct worker *w = arg;
    struct worker_job *job;
    while ((job = take_job(w)) != NULL) {
        job->work(job);
        job->done_post = (struct post){.fire = on_done, .arg = job};
        loop_post(w->loop, &job->done_post);
    }
    return NULL;
}

struct worker *worker_new(struct loop *l)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    w->loop = l;
    list_init(&w->jobs);
    must(pthread_mutex_init(&w->lock, NULL) == 0);
    must(pthread_cond_init(&w->more, NULL) == 0);
    must(pthread_create(&w->thread, NULL, work_on, w) == 0);
    return w;
}

void worker_submit(struct worker *w, struct worker_job *job)
{
    pthread_mutex_lock(&w->lock);
    list_push_back(&w->jobs, &job->link);
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    must(pthread_join(w->thread, NULL) == 0);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    free(w);
}
