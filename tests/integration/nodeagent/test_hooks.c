/* The lifecycle of a group's tasks with real processes: each writes a word as it begins and as it
 * ends into one file, and the order of the words is what is looked at. */
#include "fake_gateway.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING  PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED   PB__ALLOC__CLIENT_STATUS__FAILED

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
TestSuite(hooks, .init = begin, .fini = end, .timeout = 60);

static const char *script(const char *text)
{
    return arena_printf(f->arena,
                        "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"say() { echo "
                        "$NOMAD_TASK_NAME $1 >> $NOMAD_ALLOC_DIR/data/words; }; say on; %s\"]}",
                        text);
}

#define FOR_EVER "trap 'say off; exit 0' INT; while :; do sleep 0.02; done"

static void add(Pb__Job *job, const char *name, const char *hook, bool sidecar, const char *text)
{
    Pb__Task *t = fake_add_task(f, job, name, "raw_exec", script(text));
    t->lifecycle = arena_alloc(f->arena, sizeof *t->lifecycle);
    pb__lifecycle__init(t->lifecycle);
    t->lifecycle->hook = arena_strdup(f->arena, hook);
    t->lifecycle->has_sidecar = true;
    t->lifecycle->sidecar = sidecar;
    t->kill_timeout_ns = 20000000000;
}

static Pb__Job *job_of(const char *type, const char *main)
{
    Pb__Job *job = fake_job(f, type, "raw_exec", script(main));
    job->task_groups[0]->tasks[0]->kill_timeout_ns = 20000000000;
    return job;
}

/* Each word begins with the end of the line before, so that "t on" is not found in "init on". */
static const char *words(int i)
{
    return arena_printf(f->arena, "\n%s", fake_content(f, i, "alloc/data/words"));
}

/* Whether first is written before second. */
static bool is_before(const char *text, const char *first, const char *second)
{
    const char *a = strstr(text, arena_printf(f->arena, "\n%s", first));
    const char *b = strstr(text, arena_printf(f->arena, "\n%s", second));
    return a != NULL && b != NULL && a < b;
}

static const char *awaited;
static int awaited_of;
static bool is_written(struct fake *w)
{
    return strstr(fake_content(w, awaited_of, "alloc/data/words"), awaited) != NULL;
}
static void await_word(int i, const char *word)
{
    awaited = word;
    awaited_of = i;
    cr_assert(fake_until(f, is_written, 10000), "no \"%s\" in \"%s\"", word, words(i));
}

Test(hooks, tasks_begin_and_end_in_their_order)
{
    Pb__Job *job = job_of("service", FOR_EVER);
    add(job, "init", "prestart", false, "sleep 0.2; say off");
    add(job, "proxy", "prestart", true, FOR_EVER);
    add(job, "notify", "poststart", false, "say off");
    add(job, "tail", "poststart", true, FOR_EVER);
    add(job, "clean", "poststop", false, "say off");
    int i = fake_place(f, job);
    await_word(i, "notify off");
    await_word(i, "tail on");
    cr_assert(is_before(words(i), "init off", "t on"), "%s", words(i));
    cr_assert(is_before(words(i), "proxy on", "t on"), "%s", words(i));
    cr_assert(is_before(words(i), "t on", "notify on"), "%s", words(i));
    cr_assert(strstr(words(i), "clean") == NULL);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 10000), "%s", words(i));
    cr_assert(is_before(words(i), "t off", "proxy off"), "%s", words(i));
    cr_assert(is_before(words(i), "t off", "tail off"), "%s", words(i));
    cr_assert(is_before(words(i), "t off", "clean on"), "%s", words(i));
    cr_assert(is_before(words(i), "clean on", "clean off"), "%s", words(i));
}

Test(hooks, prestop_runs_to_its_end_before_the_main_task_is_told)
{
    Pb__Job *job = job_of("service", FOR_EVER);
    add(job, "leave", "prestop", false, "sleep 0.2; say off");
    add(job, "clean", "poststop", false, "say off");
    job->task_groups[0]->has_shutdown_delay_ns = true;
    job->task_groups[0]->shutdown_delay_ns = 100000000;
    int i = fake_place(f, job);
    await_word(i, "t on");
    cr_assert(strstr(words(i), "leave") == NULL, "%s", words(i));
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", words(i));
    cr_assert(is_before(words(i), "leave off", "t off"), "%s", words(i));
    cr_assert(is_before(words(i), "t off", "clean on"), "%s", words(i));
}

Test(hooks, what_ends_by_itself_needs_no_prestop)
{
    Pb__Job *job = job_of("batch", "say off");
    add(job, "leave", "prestop", false, "say off");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", words(i));
    cr_assert(strstr(words(i), "leave") == NULL, "%s", words(i));
}

Test(hooks, max_run_duration_ends_all_tasks_and_then_poststop_runs)
{
    Pb__Job *job = job_of("service", FOR_EVER);
    add(job, "proxy", "prestart", true, FOR_EVER);
    add(job, "clean", "poststop", false, "say off");
    job->task_groups[0]->has_max_run_duration_ns = true;
    job->task_groups[0]->max_run_duration_ns = 300000000;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 30000), "%s", words(i));
    cr_assert(strstr(fake_events(f, i, "t"), "Max Run Duration Exceeded") != NULL, "%s",
              fake_events(f, i, "t"));
    cr_assert(is_before(words(i), "t on", "clean off"), "%s", words(i));
    cr_assert(!fake_task(f, i, "clean")->failed);
}

Test(hooks, sidecars_end_when_the_main_task_has)
{
    Pb__Job *job = job_of("batch", "sleep 0.1; say off");
    add(job, "proxy", "prestart", true, FOR_EVER);
    add(job, "clean", "poststop", false, "say off");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 10000), "%s", words(i));
    cr_assert(is_before(words(i), "t off", "proxy off"), "%s", words(i));
    cr_assert(is_before(words(i), "t off", "clean on"), "%s", words(i));
    cr_assert(strstr(fake_events(f, i, "proxy"), "Main Tasks Dead") != NULL, "%s",
              fake_events(f, i, "proxy"));
}

Test(hooks, a_prestart_that_fails_keeps_the_main_task_from_running)
{
    Pb__Job *job = job_of("service", FOR_EVER);
    add(job, "init", "prestart", false, "exit 3");
    add(job, "clean", "poststop", false, "say off");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 10000), "%s", words(i));
    cr_assert(strstr(words(i), "\nt on") == NULL, "%s", words(i));
    cr_assert(strstr(words(i), "clean off") != NULL, "%s", words(i));
    cr_assert_str_eq(fake_events(f, i, "t"), "Received,Sibling Task Failed,Killed");
}

Test(hooks, a_main_task_that_fails_still_gets_its_poststop)
{
    Pb__Job *job = job_of("batch", "exit 1");
    add(job, "clean", "poststop", false, "say off");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 10000), "%s", words(i));
    cr_assert(strstr(words(i), "clean off") != NULL, "%s", words(i));
}

Test(hooks, the_order_survives_the_agent)
{
    Pb__Job *job = job_of("batch", "say off");
    add(job, "init", "prestart", false,
        "while [ ! -e $NOMAD_ALLOC_DIR/data/go ]; do sleep 0.02; "
        "done; say off");
    add(job, "clean", "poststop", false, "say off");
    int i = fake_place(f, job);
    await_word(i, "init on");
    fake_kill_agent(f, SIGKILL);
    char command[300];
    snprintf(command, sizeof command, "touch %s", fake_path(f, i, "alloc/data/go"));
    cr_assert_eq(system(command), 0);
    await_word(i, "init off");
    cr_assert(strstr(words(i), "\nt on") == NULL);
    fake_start_agent(f);
    cr_assert(fake_await(f, i, COMPLETE, 10000), "%s", words(i));
    cr_assert_str_eq(words(i), "\ninit on\ninit off\nt on\nt off\nclean on\nclean off\n");
}
