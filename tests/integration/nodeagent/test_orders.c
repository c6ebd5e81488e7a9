/* What users order of running tasks: begin anew, take a signal, be measured. */
#include "fake_gateway.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define RUNNING  PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE PB__ALLOC__CLIENT_STATUS__COMPLETE
#define WAIT_MS  30000

static struct fake *f;
static void begin(void)
{
    f = fake_new();
    fake_start_agent(f);
}
static void end(void)
{
    fake_free(f);
}
TestSuite(orders, .init = begin, .fini = end, .timeout = 120);

#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"
#define COUNTS_STARTS                                                                              \
    SH("echo up >> $NOMAD_ALLOC_DIR/data/starts; trap 'echo hup >> $NOMAD_ALLOC_DIR/data/hups' "   \
       "HUP; trap 'exit 0' INT; touch $NOMAD_ALLOC_DIR/data/ready; while :; do sleep 0.02; done")

static int place(const char *config)
{
    int i = fake_place(f, fake_job(f, "service", "raw_exec", config));
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    return i;
}

/* True: done. Else f->error says why not. */
static bool order(int i, Pb__AgentRequest__Kind kind, const char *task, const char *signal)
{
    Pb__AgentRequest q = PB__AGENT_REQUEST__INIT;
    q.has_kind = q.has_alloc_id = true;
    q.kind = kind;
    q.alloc_id = f->allocs[i].alloc->id;
    q.task = task == NULL ? NULL : arena_strdup(f->arena, task);
    q.signal = signal == NULL ? NULL : arena_strdup(f->arena, signal);
    cr_assert(fake_read(f, q, 0, WAIT_MS), "no answer");
    return f->error_status == 0;
}

static const char *awaited_file, *awaited_text;
static bool has_text(struct fake *fake)
{
    return strcmp(fake_content(fake, 0, awaited_file), awaited_text) == 0;
}
static bool await_text(const char *file, const char *text)
{
    awaited_file = file;
    awaited_text = text;
    return fake_until(f, has_text, WAIT_MS);
}

static bool has_restarted(struct fake *fake)
{
    const Pb__TaskState *t = fake_task(fake, 0, "t");
    return t != NULL && t->restarts == 1 && t->state == PB__TASK_STATE__STATE__RUNNING;
}

Test(orders, a_restart_begins_a_task_anew)
{
    int i = place(COUNTS_STARTS);
    cr_assert(await_text("alloc/data/starts", "up\n"), "or it is ended before it says so");
    cr_assert(order(i, PB__AGENT_REQUEST__KIND__RESTART, "t", NULL), "%s", f->error);
    cr_assert(fake_until(f, has_restarted, WAIT_MS));
    cr_assert(await_text("alloc/data/starts", "up\nup\n"));
    cr_assert_str_eq(fake_events(f, i, "t"), "Received,Task Setup,Started,Restart Signaled,"
                                             "Terminated,Restarting,Started");
}

Test(orders, a_restart_goes_on_when_the_agent_is_killed_in_the_middle)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec",
                            SH("echo up >> $NOMAD_ALLOC_DIR/data/starts; trap '' INT; "
                               "while :; do sleep 0.02; done"));
    job->task_groups[0]->tasks[0]->kill_timeout_ns = 2000000000;
    job->task_groups[0]->tasks[0]->has_kill_timeout_ns = true;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    cr_assert(await_text("alloc/data/starts", "up\n"));
    cr_assert(order(i, PB__AGENT_REQUEST__KIND__RESTART, NULL, NULL), "%s", f->error);
    fake_kill_agent(f, SIGKILL);
    fake_start_agent(f);
    cr_assert(fake_until(f, has_restarted, WAIT_MS));
    cr_assert(await_text("alloc/data/starts", "up\nup\n"));
}

Test(orders, a_signal_reaches_the_task)
{
    int i = place(COUNTS_STARTS);
    cr_assert(await_text("alloc/data/ready", ""));
    cr_assert(await_text("alloc/data/starts", "up\n"));
    cr_assert(order(i, PB__AGENT_REQUEST__KIND__SIGNAL, NULL, "SIGHUP"), "%s", f->error);
    cr_assert(await_text("alloc/data/hups", "hup\n"));
}

Test(orders, what_cannot_be_done_is_refused_with_the_reason)
{
    int i = place(COUNTS_STARTS);
    cr_assert(!order(i, PB__AGENT_REQUEST__KIND__RESTART, "nope", NULL));
    cr_assert_str_eq(f->error, "Could not find task runner for task: nope");
    cr_assert(!order(i, PB__AGENT_REQUEST__KIND__SIGNAL, "t", "SIGNOPE"));
    cr_assert_eq(f->error_status, 400);
    cr_assert(strstr(f->error, "SIGNOPE") != NULL, "%s", f->error);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, WAIT_MS));
    cr_assert(!order(i, PB__AGENT_REQUEST__KIND__RESTART, NULL, NULL));
    cr_assert_str_eq(f->error, "1 error occurred:\n\t* Task not running\n\n");
    cr_assert(!order(i, PB__AGENT_REQUEST__KIND__SIGNAL, NULL, "SIGHUP"));
    cr_assert_str_eq(f->error,
                     "1 error occurred:\n\t* Failed to signal task: t, err: Task not running\n\n");
    cr_assert_eq(f->error_status, 500);
}

Test(orders, a_busy_task_is_seen_to_use_the_processor_and_memory)
{
    int i = place(SH("while :; do :; done"));
    cr_assert(order(i, PB__AGENT_REQUEST__KIND__STATS, NULL, NULL), "%s", f->error);
    if (f->usage_count == 0)
        cr_skip_test("skipped: no cgroup can be made here, and tasks are not measured without");
    const Pb__TaskUsage *u = f->usages[0];
    cr_assert_str_eq(u->task, "t");
    cr_assert(u->n_processes == 1 && u->rss > 0 && u->mhz > 0);
    cr_assert(u->user_percent + u->system_percent > 0, "a task that only counts used no time");
    cr_assert(u->user_percent + u->system_percent < 150, "one thread used %f %%",
              u->user_percent + u->system_percent);
}
