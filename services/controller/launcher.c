#include "launcher.h"
#include "base/err.h"
#include "base/log.h"
#include "jobstore.pb-c.h"
#include "launch.h"
#include <stdlib.h>

#define AT_ONCE         64 /* proposals */
#define BUDGET_MS       10000
#define RETRY_S         1
#define LONGEST_WAIT_MS 10000 /* so that a clock that was set is noticed */
#define SECOND_NS       INT64_C(1000000000)
#define MS_NS           1000000

/* One launch on its way. */
struct proposal {
    struct launcher *launcher;
    struct call *call; /* NULL: free */
    char *ns, *id;
    int64_t time;
};

struct launcher {
    struct loop *loop;
    struct client *client;
    struct launches *launches;
    struct timer timer;
    bool ready; /* every job is known */
    struct proposal proposals[AT_ONCE];
    uint64_t launched;
};

struct launcher *launcher_new(struct loop *l, struct client *jobstore)
{
    struct launcher *n = xcalloc(1, sizeof *n);
    n->loop = l;
    n->client = jobstore;
    n->launches = launches_new();
    return n;
}

static void proposal_end(struct proposal *p)
{
    free(p->ns);
    free(p->id);
    *p = (struct proposal){0};
}

void launcher_reset(struct launcher *l)
{
    timer_cancel(l->loop, &l->timer);
    for (size_t i = 0; i < AT_ONCE; i++) {
        call_cancel(l->proposals[i].call);
        proposal_end(&l->proposals[i]);
    }
    launches_reset(l->launches);
    l->ready = false;
}

void launcher_free(struct launcher *l)
{
    if (l == NULL)
        return;
    launcher_reset(l);
    launches_free(l->launches);
    free(l);
}

/* ---- proposals */

static void go_on(void *owner);

static void log_outcome(struct launcher *l, const struct proposal *p, const Pb__Outcome *out)
{
    if (out->child_id != NULL) {
        l->launched++;
        log_info("launched", "job=%s child=%s", log_quote(p->id), log_quote(out->child_id));
    } else
        log_info("launch_left_out", "job=%s time=%lld", log_quote(p->id), (long long)p->time);
}

static void on_proposed(void *owner, const struct response *r)
{
    struct proposal *p = owner;
    struct launcher *l = p->launcher;
    const Pb__Outcome *out = (const Pb__Outcome *)r->body;
    bool known = r->code == PB__REPLY__CODE__OK && out != NULL;
    if (known && out->code == PB__OUTCOME__CODE__APPLIED) {
        log_outcome(l, p, out);
        launches_done(l->launches, p->ns, p->id, p->time);
    } else {
        const char *reason = known && out->reason != NULL ? out->reason : r->reason;
        log_warn("launch_delayed", "job=%s time=%lld reason=%s", log_quote(p->id),
                 (long long)p->time, log_quote(reason != NULL ? reason : ""));
        launches_failed(l->launches, p->ns, p->id, loop_wall_ns(l->loop) / SECOND_NS + RETRY_S);
    }
    proposal_end(p);
    go_on(l);
}

static void propose(struct launcher *l, struct proposal *p, const struct launch *launch)
{
    Pb__PeriodicLaunch body = PB__PERIODIC_LAUNCH__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    *p = (struct proposal){.launcher = l, .time = launch->time};
    p->ns = xstrdup(launch->ns);
    p->id = xstrdup(launch->id);
    body.namespace_ = p->ns;
    body.job_id = p->id;
    body.has_launch_time = body.has_job_modify_index = 1;
    body.launch_time = launch->time * SECOND_NS;
    body.job_modify_index = launch->job_modify_index;
    command.body_case = PB__COMMAND__BODY_PERIODIC_LAUNCH;
    command.periodic_launch = &body;
    p->call = client_call(l->client, &(struct call_options){
                                         .method = PB__JOBSTORE__METHOD__APPLY,
                                         .body = &command.base,
                                         .reply = &pb__outcome__descriptor,
                                         .budget_ms = BUDGET_MS,
                                         .retry = true,
                                         .done = on_proposed,
                                         .owner = p,
                                     });
}

static void arm(struct launcher *l)
{
    int64_t due = launches_next_due(l->launches), now_ms = loop_wall_ns(l->loop) / MS_NS;
    if (due == LAUNCH_NEVER) {
        timer_cancel(l->loop, &l->timer);
        return;
    }
    int64_t wait = due * 1000 - now_ms;
    if (wait < 1)
        wait = 1;
    timer_arm(l->loop, &l->timer, wait < LONGEST_WAIT_MS ? (uint64_t)wait : LONGEST_WAIT_MS, go_on,
              l);
}

static void go_on(void *owner)
{
    struct launcher *l = owner;
    int64_t now = loop_wall_ns(l->loop) / SECOND_NS;
    struct launch launch;
    size_t i = 0;
    if (!l->ready)
        return;
    for (;; i++) {
        while (i < AT_ONCE && l->proposals[i].call != NULL)
            i++;
        if (i == AT_ONCE)
            return; /* the first answer goes on */
        if (!launches_take(l->launches, now, &launch))
            break;
        propose(l, &l->proposals[i], &launch);
    }
    arm(l);
}

/* ---- the feed */

void launcher_put_job(struct launcher *l, const Pb__Job *job)
{
    struct reason why;
    if (launches_put(l->launches, job, &why) != OK)
        log_warn("cannot_launch", "job=%s reason=%s", log_quote(job->id), log_quote(why.text));
}

void launcher_drop_job(struct launcher *l, const char *ns, const char *id)
{
    launches_drop(l->launches, ns, id);
}

void launcher_synced(struct launcher *l)
{
    l->ready = true;
    go_on(l);
}

size_t launcher_count(const struct launcher *l)
{
    return launches_count(l->launches);
}

uint64_t launcher_launched(const struct launcher *l)
{
    return l->launched;
}
