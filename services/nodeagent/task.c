#include "task.h"
#include "base/duration.h"
#include "base/err.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TO(phase) (1u << TASK_##phase)

static const unsigned may_become[TASK_PHASES] = {
    [TASK_NEW] = TO(STARTING) | TO(DEAD),
    [TASK_STARTING] = TO(RUNNING) | TO(WAITING) | TO(DEAD),
    [TASK_RUNNING] = TO(WAITING) | TO(DELAYING) | TO(STOPPING) | TO(DEAD),
    [TASK_WAITING] = TO(STARTING) | TO(DEAD),
    [TASK_DELAYING] = TO(STOPPING) | TO(DEAD),
    [TASK_STOPPING] = TO(WAITING) | TO(DEAD),
    [TASK_DEAD] = 0,
};

static void move(struct task *t, enum task_phase to)
{
    must(may_become[t->phase] & (1u << to));
    t->phase = to;
}

static void add_event(struct task *t, struct task_event e, const char *text)
{
    if (t->event_count == TASK_MAX_EVENTS) {
        free(t->events[0].text);
        memmove(t->events, t->events + 1, sizeof t->events - sizeof t->events[0]);
        t->event_count--;
    }
    e.text = text == NULL ? NULL : xstrdup(text);
    t->events[t->event_count++] = e;
}

#define EVENT(t, in, type_, text_, ...)                                                            \
    add_event(                                                                                     \
        t, (struct task_event){.type = TASK_EVENT_##type_, .time_ns = (in)->now_ns, __VA_ARGS__},  \
        text_)

void task_init(struct task *t, const struct task_rules *rules, int64_t now_ns)
{
    *t = (struct task){.phase = TASK_NEW, .rules = *rules};
    EVENT(t, (&(struct task_input){.now_ns = now_ns}), RECEIVED, NULL);
}

void task_fini(struct task *t)
{
    for (size_t i = 0; i < t->event_count; i++)
        free(t->events[i].text);
    t->event_count = 0;
}

static unsigned die(struct task *t, const struct task_input *in, bool failed)
{
    move(t, TASK_DEAD);
    t->failed = failed;
    t->finished_at = in->now_ns;
    t->timer_at_ns = 0;
    t->kill_wanted = t->restart_wanted = false;
    return TASK_DO_REPORT;
}

static unsigned killed(struct task *t, const struct task_input *in)
{
    EVENT(t, in, KILLED, NULL);
    return die(t, in, t->failed);
}

static unsigned stop(struct task *t, const struct task_input *in)
{
    move(t, TASK_STOPPING);
    t->timer_at_ns = in->now_ns; /* when it began: see task_kill_timeout_left */
    return TASK_DO_KILL | TASK_DO_REPORT;
}

static unsigned begin_kill(struct task *t, const struct task_input *in)
{
    EVENT(t, in, KILLING, NULL, .amount_ns = t->rules.kill_timeout_ns);
    return stop(t, in);
}

static unsigned ask_policy(struct task *t, const struct task_input *in, enum restart_cause cause)
{
    struct restart_decision d =
        restart_decide(&t->rules.restart, &t->window, cause, in->now_ns, in->random);
    switch (d.verdict) {
    case RESTART_DONE:
        return die(t, in, false);
    case RESTART_NOT:
        EVENT(t, in, NOT_RESTARTING, d.reason, .fails_task = true);
        return die(t, in, true);
    case RESTART_AGAIN:
        break;
    }
    EVENT(t, in, RESTARTING, d.reason, .amount_ns = d.delay_ns);
    move(t, TASK_WAITING);
    t->timer_at_ns = in->now_ns + d.delay_ns;
    return TASK_DO_TIMER | TASK_DO_REPORT;
}

static unsigned on_begin(struct task *t, const struct task_input *in)
{
    if (t->phase != TASK_NEW)
        return 0;
    EVENT(t, in, SETUP, "Building Task Directory");
    move(t, TASK_STARTING);
    return TASK_DO_LAUNCH | TASK_DO_REPORT;
}

static unsigned on_started(struct task *t, const struct task_input *in)
{
    if (t->phase != TASK_STARTING)
        return 0;
    EVENT(t, in, STARTED, NULL);
    move(t, TASK_RUNNING);
    t->started_at = in->now_ns;
    if (t->rules.max_run_ns > 0 && t->run_until_ns == 0)
        t->run_until_ns = in->now_ns + t->rules.max_run_ns;
    t->timer_at_ns = t->run_until_ns;
    if (!t->kill_wanted)
        return TASK_DO_REPORT | (t->timer_at_ns != 0 ? TASK_DO_TIMER : 0);
    t->kill_wanted = false;
    return begin_kill(t, in);
}

static unsigned on_start_failed(struct task *t, const struct task_input *in)
{
    if (t->phase != TASK_STARTING)
        return 0;
    if (in->kind == TASK_IN_SETUP_FAILED)
        EVENT(t, in, SETUP_FAILURE, in->text);
    else if (in->kind == TASK_IN_FETCH_FAILED)
        EVENT(t, in, FETCH_FAILURE, in->text);
    else if (in->kind == TASK_IN_INVALID)
        EVENT(t, in, VALIDATION, in->text);
    else
        EVENT(t, in, DRIVER_FAILURE, in->text);
    if (t->kill_wanted)
        return killed(t, in) | TASK_DO_RELEASE;
    return ask_policy(t, in, in->recoverable ? RESTART_FAILURE : RESTART_UNRECOVERABLE) |
           TASK_DO_RELEASE;
}

static unsigned on_fetching(struct task *t, const struct task_input *in)
{
    if (t->phase != TASK_STARTING)
        return 0;
    EVENT(t, in, FETCHING, NULL);
    return TASK_DO_REPORT;
}

/* How far it is replaces how far it was. */
static unsigned on_driver_says(struct task *t, const struct task_input *in)
{
    if (t->phase != TASK_STARTING)
        return 0;
    if (t->event_count > 0 && t->events[t->event_count - 1].type == TASK_EVENT_DRIVER)
        free(t->events[--t->event_count].text);
    EVENT(t, in, DRIVER, in->text);
    return TASK_DO_REPORT;
}

static bool has_process(const struct task *t)
{
    return t->phase == TASK_RUNNING || t->phase == TASK_DELAYING || t->phase == TASK_STOPPING;
}

/* A task lives on when another than its first process was killed; its end then still tells of it.
 */
static void note_end(struct task *t, const struct task_input *in)
{
    bool by_kill = in->signal == SIGKILL || in->exit_code == 128 + SIGKILL;
    bool oom_killed = in->oom_kills > 0 && by_kill;
    const char *text = in->text;
    if (text == NULL && oom_killed)
        text = "OOM Killed";
    else if (text == NULL && in->oom_kills > 0)
        text = "processes of it were killed for its memory limit";
    EVENT(t, in, TERMINATED, text, .exit_code = in->exit_code, .signal = in->signal,
          .oom_killed = oom_killed);
}

/* It was ended only to begin anew: that counts as a restart, but not against its policy. */
static unsigned again(struct task *t, const struct task_input *in)
{
    EVENT(t, in, RESTARTING, "");
    t->restart_wanted = false;
    move(t, TASK_WAITING);
    t->timer_at_ns = in->now_ns;
    return TASK_DO_TIMER | TASK_DO_REPORT;
}

static unsigned on_exited(struct task *t, const struct task_input *in)
{
    unsigned todo = 0;
    if (t->phase == TASK_STARTING)
        todo = on_started(t, in); /* it was so quick, or we were away, that only the end is told */
    if (!has_process(t))
        return 0;
    note_end(t, in);
    if (t->restart_wanted)
        return again(t, in) | TASK_DO_RELEASE;
    if (t->phase == TASK_DELAYING || t->phase == TASK_STOPPING)
        return killed(t, in) | TASK_DO_RELEASE;
    bool well = in->exit_code == 0 && in->signal == 0;
    return (todo & TASK_DO_REPORT) | TASK_DO_RELEASE |
           ask_policy(t, in, well ? RESTART_SUCCESS : RESTART_FAILURE);
}

/* At once: each moment of a shutdown_delay could be used for more of it. */
static unsigned on_exceeded(struct task *t, const struct task_input *in)
{
    if (t->phase == TASK_DEAD || t->failed)
        return 0;
    if (in->kind == TASK_IN_DISK_EXCEEDED)
        EVENT(t, in, DISK_EXCEEDED, in->text, .fails_task = true);
    else if (in->kind == TASK_IN_UNHEARD)
        EVENT(t, in, UNHEARD, in->text, .fails_task = true);
    else
        EVENT(t, in, OVERDUE, in->text, .fails_task = true);
    t->failed = true;
    switch (t->phase) {
    case TASK_STARTING:
        t->kill_wanted = true;
        return TASK_DO_REPORT;
    case TASK_RUNNING:
    case TASK_DELAYING:
        return begin_kill(t, in);
    case TASK_STOPPING:
        t->restart_wanted = false;
        return TASK_DO_REPORT;
    default:
        return killed(t, in);
    }
}

static unsigned on_run_until(struct task *t, const struct task_input *in)
{
    char limit[32], text[80];
    duration_format(t->rules.max_run_ns, limit);
    snprintf(text, sizeof text, "It has run for its max_run_duration of %s", limit);
    return on_exceeded(
        t, &(struct task_input){.kind = TASK_IN_OVERDUE, .now_ns = in->now_ns, .text = text});
}

static unsigned on_timer(struct task *t, const struct task_input *in)
{
    if (t->phase == TASK_DELAYING)
        return begin_kill(t, in);
    if (t->phase == TASK_RUNNING && t->timer_at_ns != 0)
        return on_run_until(t, in);
    if (t->phase != TASK_WAITING)
        return 0;
    move(t, TASK_STARTING);
    t->timer_at_ns = 0;
    t->restarts++;
    t->last_restart = in->now_ns;
    return TASK_DO_LAUNCH | TASK_DO_REPORT;
}

static void note_why(struct task *t, const struct task_input *in)
{
    if (in->kind == TASK_IN_LEADER_DEAD)
        EVENT(t, in, LEADER_DEAD, NULL);
    else if (in->kind == TASK_IN_MAIN_DEAD)
        EVENT(t, in, MAIN_DEAD, NULL);
    else if (in->kind == TASK_IN_SIBLING_FAILED)
        EVENT(t, in, SIBLING_FAILED, in->text);
}

static unsigned on_kill(struct task *t, const struct task_input *in)
{
    switch (t->phase) {
    case TASK_NEW:
    case TASK_WAITING:
        note_why(t, in);
        return killed(t, in);
    case TASK_STARTING:
        if (!t->kill_wanted)
            note_why(t, in);
        t->kill_wanted = true;
        return 0;
    case TASK_RUNNING:
        note_why(t, in);
        if (t->rules.shutdown_delay_ns <= 0)
            return begin_kill(t, in);
        EVENT(t, in, WAITING_SHUTDOWN, NULL, .amount_ns = t->rules.shutdown_delay_ns);
        move(t, TASK_DELAYING);
        t->timer_at_ns = in->now_ns + t->rules.shutdown_delay_ns;
        return TASK_DO_TIMER | TASK_DO_REPORT;
    case TASK_STOPPING:
        if (!t->restart_wanted)
            return 0;
        note_why(t, in);
        t->restart_wanted = false; /* the signal is out already: now its end is for good */
        EVENT(t, in, KILLING, NULL, .amount_ns = t->rules.kill_timeout_ns);
        return TASK_DO_REPORT;
    default:
        return 0;
    }
}

static unsigned on_disk_not_moved(struct task *t, const struct task_input *in)
{
    if (t->phase == TASK_DEAD)
        return 0;
    EVENT(t, in, DISK_NOT_MOVED, in->text);
    return TASK_DO_REPORT;
}

static unsigned on_restart(struct task *t, const struct task_input *in)
{
    if (t->phase != TASK_RUNNING)
        return 0;
    EVENT(t, in, RESTART_SIGNALED, in->text);
    t->restart_wanted = true;
    return stop(t, in);
}

static unsigned on_signaled(struct task *t, const struct task_input *in)
{
    if (!has_process(t))
        return 0;
    EVENT(t, in, SIGNALING, in->text);
    return TASK_DO_REPORT;
}

unsigned task_step(struct task *t, const struct task_input *in)
{
    switch (in->kind) {
    case TASK_IN_BEGIN:
        return on_begin(t, in);
    case TASK_IN_STARTED:
        return on_started(t, in);
    case TASK_IN_START_FAILED:
    case TASK_IN_SETUP_FAILED:
    case TASK_IN_FETCH_FAILED:
    case TASK_IN_INVALID:
        return on_start_failed(t, in);
    case TASK_IN_DRIVER_SAYS:
        return on_driver_says(t, in);
    case TASK_IN_FETCHING:
        return on_fetching(t, in);
    case TASK_IN_EXITED:
        return on_exited(t, in);
    case TASK_IN_NEVER_STARTED:
        if (t->phase == TASK_STARTING && t->kill_wanted)
            return killed(t, in);
        return t->phase == TASK_STARTING ? TASK_DO_LAUNCH : 0;
    case TASK_IN_TIMER:
        return on_timer(t, in);
    case TASK_IN_RESTART:
        return on_restart(t, in);
    case TASK_IN_SIGNALED:
        return on_signaled(t, in);
    case TASK_IN_KILL:
    case TASK_IN_LEADER_DEAD:
    case TASK_IN_MAIN_DEAD:
    case TASK_IN_SIBLING_FAILED:
        return on_kill(t, in);
    case TASK_IN_DISK_NOT_MOVED:
        return on_disk_not_moved(t, in);
    case TASK_IN_DISK_EXCEEDED:
    case TASK_IN_OVERDUE:
    case TASK_IN_UNHEARD:
        return on_exceeded(t, in);
    }
    return 0;
}

unsigned task_resume(const struct task *t)
{
    if (t->phase == TASK_WAITING || t->phase == TASK_DELAYING ||
        (t->phase == TASK_RUNNING && t->timer_at_ns != 0))
        return TASK_DO_TIMER;
    return t->phase == TASK_STOPPING ? TASK_DO_KILL : 0;
}

int64_t task_kill_timeout_left(const struct task *t, int64_t now_ns)
{
    int64_t left = t->rules.kill_timeout_ns - (now_ns - t->timer_at_ns);
    if (left > t->rules.kill_timeout_ns)
        return t->rules.kill_timeout_ns;
    return left < 0 ? 0 : left;
}

static Pb__TaskState__State state_of(const struct task *t)
{
    if (t->phase == TASK_DEAD)
        return PB__TASK_STATE__STATE__DEAD;
    return has_process(t) ? PB__TASK_STATE__STATE__RUNNING : PB__TASK_STATE__STATE__PENDING;
}

Pb__TaskState *task_state(struct arena *a, const struct task *t, const char *name)
{
    Pb__TaskState *s = arena_alloc(a, sizeof *s);
    pb__task_state__init(s);
    s->name = arena_strdup(a, name);
    s->has_state = s->has_failed = s->has_restarts = true;
    s->state = state_of(t);
    s->failed = t->failed;
    s->restarts = t->restarts;
    s->has_last_restart = t->last_restart != 0;
    s->last_restart = t->last_restart;
    s->has_started_at = t->started_at != 0;
    s->started_at = t->started_at;
    s->has_finished_at = t->finished_at != 0;
    s->finished_at = t->finished_at;
    s->n_events = t->event_count;
    s->events = arena_array(a, Pb__TaskEvent *, t->event_count);
    for (size_t i = 0; i < t->event_count; i++)
        s->events[i] = task_event_pack(a, &t->events[i]);
    return s;
}

Pb__LocalTask *task_save(struct arena *a, const struct task *t, const char *name)
{
    Pb__LocalTask *l = arena_alloc(a, sizeof *l);
    pb__local_task__init(l);
    l->state = task_state(a, t, name);
    l->has_phase = l->has_kill_wanted = l->has_timer_at = true;
    l->phase = (uint32_t)t->phase;
    l->kill_wanted = t->kill_wanted;
    l->has_restart_wanted = t->restart_wanted;
    l->restart_wanted = t->restart_wanted;
    l->timer_at = t->timer_at_ns;
    l->has_run_until = t->run_until_ns != 0;
    l->run_until = t->run_until_ns;
    l->has_window_start = l->has_window_count = true;
    l->window_start = t->window.start_ns;
    l->window_count = t->window.count;
    return l;
}

void task_load(struct task *t, const struct task_rules *rules, const Pb__LocalTask *saved)
{
    const Pb__TaskState *s = saved->state;
    *t = (struct task){.rules = *rules};
    t->phase = saved->phase < TASK_PHASES ? (enum task_phase)saved->phase : TASK_NEW;
    t->kill_wanted = saved->kill_wanted;
    t->restart_wanted = saved->restart_wanted && t->phase == TASK_STOPPING;
    t->timer_at_ns = saved->timer_at;
    t->run_until_ns = saved->run_until;
    t->window = (struct restart_window){saved->window_start, saved->window_count};
    if (s == NULL)
        return;
    t->failed = s->failed;
    t->restarts = s->restarts;
    t->last_restart = s->last_restart;
    t->started_at = s->started_at;
    t->finished_at = s->finished_at;
    for (size_t i = 0; i < s->n_events && i < TASK_MAX_EVENTS; i++)
        t->events[t->event_count++] = task_event_unpack(s->events[i]);
}

void task_check(const struct task *t)
{
    must(t->phase < TASK_PHASES);
    must(t->event_count <= TASK_MAX_EVENTS);
    must(!t->failed || t->phase == TASK_DEAD || t->phase == TASK_STOPPING || t->kill_wanted);
    must(!t->kill_wanted || t->phase == TASK_STARTING);
    must(!t->restart_wanted || t->phase == TASK_STOPPING);
    must((t->phase == TASK_DEAD) == (t->finished_at != 0));
    must(t->phase != TASK_WAITING || t->timer_at_ns != 0);
    must(!has_process(t) || t->started_at != 0);
}
