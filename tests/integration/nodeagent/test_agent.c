#include "fake_gateway.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNNING    PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED     PB__ALLOC__CLIENT_STATUS__FAILED
#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"

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
/* Waits until the first task of an allocation has said something. */
static const char *await_output(int i)
{
    for (int k = 0; k < 500; k++) {
        const char *text = fake_content(f, i, "alloc/logs/t.stdout.0");
        if (strchr(text, '\n') != NULL)
            return text;
        fake_run(f, 10);
    }
    cr_assert_fail("it said nothing");
    return "";
}

static bool is_registered_again(struct fake *w)
{
    return w->registrations >= 2;
}

static bool is_marked(struct fake *w)
{
    return fake_count_processes(fake_mark()) > 0;
}

TestSuite(nodeagent, .init = begin, .fini = end, .timeout = 60);

static bool is_registered(struct fake *w)
{
    return w->heartbeats >= 2;
}

Test(nodeagent, registers_and_keeps_its_heartbeat)
{
    cr_assert(fake_until(f, is_registered, 5000));
    cr_assert_str_eq(f->node->name, "tester");
    cr_assert(f->node->total->cpu > 0 && f->node->total->memory_mb > 0);
    f->forget = true;
    cr_assert(fake_until(f, is_registered_again, 5000));
}

Test(nodeagent, a_task_runs_and_ends_with_its_code)
{
    int i = fake_place(f, fake_job(f, "batch", "raw_exec", SH("echo out; echo err >&2; exit 0")));
    cr_assert(fake_await(f, i, COMPLETE, 5000));
    cr_assert_str_eq(fake_events(f, i, "t"), "Received,Task Setup,Started,Terminated");
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "out\n");
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stderr.0"), "err\n");
    cr_assert_str_eq(f->allocs[i].said->client_description, "All tasks have completed");
    i = fake_place(f, fake_job(f, "batch", "raw_exec", SH("exit 3")));
    cr_assert(fake_await(f, i, FAILED, 5000));
    cr_assert_str_eq(fake_events(f, i, "t"),
                     "Received,Task Setup,Started,Terminated,Not Restarting");
    cr_assert_str_eq(fake_task(f, i, "t")->events[3]->display_message, "Exit Code: 3");
    cr_assert_str_eq(fake_task(f, i, "t")->events[4]->display_message, "Policy allows no restarts");
}

Test(nodeagent, what_a_task_with_logs_disabled_prints_is_thrown_away)
{
    struct stat before, after;
    Pb__LogConfig *log = arena_alloc(f->arena, sizeof *log); /* the job is sent again at the end */
    Pb__Job *job =
        fake_job(f, "batch", "raw_exec", SH("echo out && echo err >&2 && test -c /dev/stdout"));
    pb__log_config__init(log);
    log->has_disabled = log->disabled = true;
    job->task_groups[0]->tasks[0]->log_config = log;
    if (geteuid() == 0)
        job->task_groups[0]->tasks[0]->user = arena_strdup(f->arena, "nobody");
    cr_assert_eq(stat("/dev/null", &before), 0);
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 5000));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "");
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stderr.0"), "");
    cr_assert_eq(stat("/dev/null", &after), 0);
    cr_assert_eq(after.st_uid, before.st_uid, "it does not become the task's");
}

Test(nodeagent, a_missing_binary_and_a_wrong_config_fail_with_a_clear_event)
{
    int i = fake_place(f, fake_job(f, "service", "raw_exec", "{\"command\": \"/no/such/binary\"}"));
    int k = fake_place(f, fake_job(f, "service", "raw_exec", "{\"comand\": \"/bin/sh\"}"));
    int m = fake_place(f, fake_job(f, "service", "nosuch", "{}"));
    cr_assert(fake_await(f, i, FAILED, 5000) && fake_await(f, k, FAILED, 5000) &&
              fake_await(f, m, FAILED, 5000));
    cr_assert_str_eq(fake_events(f, i, "t"), "Received,Task Setup,Driver Failure,Not Restarting");
    cr_assert(strstr(fake_task(f, i, "t")->events[2]->driver_error,
                     "binary \"/no/such/binary\" could not be found") != NULL);
    cr_assert(strstr(fake_task(f, k, "t")->events[2]->display_message,
                     "did you mean \"command\"") != NULL,
              "%s", fake_task(f, k, "t")->events[2]->display_message);
}

Test(nodeagent, a_stopped_task_is_killed_with_all_it_left_behind)
{
    int i = fake_place(
        f, fake_job(f, "service", "raw_exec",
                    arena_printf(
                        f->arena,
                        SH("trap '' INT TERM; (setsid sleep %s &) ; while :; do sleep 0.1; done"),
                        fake_mark())));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    cr_assert(fake_until(f, is_marked, 5000));
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 5000));
    cr_assert_str_eq(fake_events(f, i, "t"),
                     "Received,Task Setup,Started,Killing,Terminated,Killed");
    cr_assert_eq(fake_count_processes(fake_mark()), 0);
}

Test(nodeagent, a_new_agent_adopts_what_runs_and_reports_what_ended)
{
    int i = fake_place(
        f, fake_job(f, "service", "raw_exec", SH("echo $$; while :; do sleep 0.1; done")));
    int k = fake_place(f, fake_job(f, "batch", "raw_exec", SH("sleep 1; exit 7")));
    cr_assert(fake_await(f, i, RUNNING, 5000) && fake_await(f, k, RUNNING, 5000));
    fake_kill_agent(f, SIGKILL);
    fake_run(f, 1300);
    cr_assert(fake_is(f, k, RUNNING));
    fake_start_agent(f);
    cr_assert(fake_await(f, k, FAILED, 5000));
    cr_assert(f->registered_at > 0 && f->listed_from == f->registered_at,
              "a list of before its registration may lack what it runs");
    cr_assert_eq(fake_task(f, k, "t")->events[3]->exit_code, 7);
    fake_run(f, 300);
    cr_assert_str_eq(fake_events(f, i, "t"), "Received,Task Setup,Started");
    cr_assert_eq(strchr(fake_content(f, i, "alloc/logs/t.stdout.0"), '\n')[1], '\0',
                 "started once");
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 5000));
}

Test(nodeagent, many_kills_of_the_agent_start_nothing_twice)
{
    int first = f->alloc_count;
    for (int i = 0; i < 10; i++)
        fake_place(f, fake_job(f, "service", "raw_exec", SH("echo x; while :; do sleep 1; done")));
    for (int round = 0; round < 8; round++) {
        fake_run(f, 40 + 30 * round);
        fake_kill_agent(f, SIGKILL);
        fake_start_agent(f);
    }
    for (int i = first; i < first + 10; i++)
        cr_assert(fake_await(f, i, RUNNING, 10000));
    fake_run(f, 300);
    for (int i = first; i < first + 10; i++)
        cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "x\n");
}

Test(nodeagent, a_killed_supervisor_takes_its_task_along_and_is_reported)
{
    int i =
        fake_place(f, fake_job(f, "batch", "raw_exec",
                               arena_printf(f->arena, SH("echo $PPID; sleep %s"), fake_mark())));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    int shim = atoi(await_output(i));
    cr_assert(fake_until(f, is_marked, 5000));
    kill(shim, SIGKILL);
    cr_assert(fake_await(f, i, FAILED, 5000));
    fake_run(f, 100);
    cr_assert_eq(fake_count_processes(fake_mark()), 0);
    cr_assert_eq(fake_task(f, i, "t")->events[3]->exit_code, -1);
}

Test(nodeagent, an_allocation_that_holds_more_than_its_disk_fails)
{
    fake_kill_agent(f, SIGTERM);
    f->extra[0] = "--disk-interval-ms";
    f->extra[1] = "50";
    fake_start_agent(f);
    Pb__Job *job = fake_job(f, "service", "raw_exec",
                            "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"head -c 30000000 "
                            "/dev/urandom > local/much; exec sleep 600\"]}");
    Pb__TaskGroup *g = job->task_groups[0];
    g->restart_policy->attempts = 5;
    g->ephemeral_disk = arena_alloc(f->arena, sizeof *g->ephemeral_disk);
    pb__ephemeral_disk__init(g->ephemeral_disk);
    g->ephemeral_disk->has_size_mb = true;
    g->ephemeral_disk->size_mb = 20;
    fake_add_task(f, job, "other", "raw_exec",
                  "{\"command\": \"/bin/sleep\", \"args\": [\"600\"]}");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, PB__ALLOC__CLIENT_STATUS__FAILED, 60000), "%s",
              fake_events(f, i, "t"));
    const Pb__TaskState *t = fake_task(f, i, "t");
    const Pb__TaskEvent *exceeded = NULL;
    for (size_t k = 0; k < t->n_events; k++)
        if (strcmp(t->events[k]->type, "Disk Resources Exceeded") == 0)
            exceeded = t->events[k];
    cr_assert_not_null(exceeded, "%s", fake_events(f, i, "t"));
    cr_expect(strstr(exceeded->display_message, "and 20 were asked for") != NULL, "%s",
              exceeded->display_message);
    cr_expect(exceeded->fails_task && t->failed && t->restarts == 0);
    cr_expect(fake_task(f, i, "other")->failed);
}

static bool marked_are_gone(struct fake *w)
{
    return fake_count_processes(fake_mark()) == 0;
}

Test(nodeagent, what_must_not_run_twice_ends_when_no_server_is_heard)
{
    Pb__Job *job = fake_job(
        f, "service", "raw_exec",
        arena_printf(f->arena, "{\"command\": \"/bin/sleep\", \"args\": [\"%s\"]}", fake_mark()));
    job->task_groups[0]->has_stop_after_client_disconnect_ns = true;
    job->task_groups[0]->stop_after_client_disconnect_ns = 3000000000;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, 30000));
    cr_assert_eq(fake_count_processes(fake_mark()), 1);
    f->mute = f->refuse_updates = true;
    cr_assert(fake_until(f, marked_are_gone, 30000));
    f->mute = f->refuse_updates = false;
    cr_assert(fake_await(f, i, FAILED, 30000));
    cr_assert(strstr(fake_events(f, i, "t"), "Servers Unheard") != NULL, "%s",
              fake_events(f, i, "t"));
}

Test(nodeagent, restarts_follow_the_policy)
{
    Pb__Job *job = fake_job(f, "batch", "mock", "{\"run_for\": \"10ms\", \"exit_code\": 2}");
    Pb__RestartPolicy *p = job->task_groups[0]->restart_policy;
    p->attempts = 2;
    p->has_interval_ns = p->has_delay_ns = true;
    p->interval_ns = 60000000000;
    p->delay_ns = 50000000;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, FAILED, 10000));
    cr_assert_str_eq(
        fake_events(f, i, "t"),
        "Task Setup,Started,Terminated,Restarting,Started,Terminated,Restarting,Started,"
        "Terminated,Not Restarting");
    cr_assert_eq(fake_task(f, i, "t")->restarts, 2);
}

Test(nodeagent, the_mock_driver_does_as_told)
{
    int i = fake_place(
        f, fake_job(f, "batch", "mock", "{\"run_for\": \"50ms\", \"output\": \"hello\\n\"}"));
    int k = fake_place(f, fake_job(f, "batch", "mock", "{\"start_error\": \"no luck\"}"));
    int m =
        fake_place(f, fake_job(f, "batch", "mock", "{\"run_for\": \"10ms\", \"exit_signal\": 9}"));
    int n = fake_place(f, fake_job(f, "service", "mock", "{\"run_for\": \"1h\"}"));
    cr_assert(fake_await(f, i, COMPLETE, 5000) && fake_await(f, k, FAILED, 5000) &&
              fake_await(f, m, FAILED, 5000) && fake_await(f, n, RUNNING, 5000));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "hello\n");
    cr_assert_str_eq(fake_task(f, k, "t")->events[2]->display_message, "no luck");
    cr_assert_str_eq(fake_task(f, m, "t")->events[3]->display_message, "Exit Code: 137, Signal: 9");
}

Test(nodeagent, the_end_of_the_leader_ends_the_others)
{
    Pb__Job *job = fake_job(f, "batch", "mock", "{\"run_for\": \"200ms\"}");
    job->task_groups[0]->tasks[0]->has_leader = job->task_groups[0]->tasks[0]->leader = true;
    fake_add_task(f, job, "side", "raw_exec", SH("exec sleep 3600"));
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 5000));
    cr_assert_str_eq(fake_events(f, i, "side"),
                     "Received,Task Setup,Started,Leader Task Dead,Killing,Terminated,Killed");
}

Test(nodeagent, nothing_is_lost_while_no_server_answers)
{
    int i = fake_place(f, fake_job(f, "batch", "mock", "{\"run_for\": \"300ms\"}"));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    fake_close(f);
    fake_run(f, 700);
    fake_kill_agent(f, SIGKILL);
    fake_start_agent(f);
    fake_run(f, 300);
    fake_open(f);
    cr_assert(fake_await(f, i, COMPLETE, 15000));
}

Test(nodeagent, it_is_there_again_soon_after_its_gateway)
{
    int i = fake_place(f, fake_job(f, "service", "mock", "{\"run_for\": \"1h\"}"));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    for (int round = 0; round < 3; round++) {
        fake_close(f);
        fake_run(f, 200);
        fake_open(f);
        int k = fake_place(f, fake_job(f, "service", "mock", "{\"run_for\": \"1h\"}"));
        cr_assert(fake_await(f, k, RUNNING, 2000), "round %d", round);
    }
}

Test(nodeagent, files_are_listed_told_and_read)
{
    int i = fake_place(
        f, fake_job(f, "batch", "raw_exec",
                    SH("printf 'greeting=hello\\\\n' > local/app.conf; echo s > secrets/key; "
                       "ln -s /etc alloc-link; ln -s ../secrets/key local/k; mkfifo local/p")));
    cr_assert(fake_await(f, i, COMPLETE, 5000));
    Pb__AgentRequest r = PB__AGENT_REQUEST__INIT;
    r.has_kind = r.has_alloc_id = true;
    r.alloc_id = f->allocs[i].alloc->id;
    r.kind = PB__AGENT_REQUEST__KIND__FS_LIST;
    r.path = arena_strdup(f->arena, "/");
    cr_assert(fake_read(f, r, 0, 5000));
    cr_assert_eq(f->file_count, 2);
    cr_assert_str_eq(f->files[0]->name, "alloc");
    cr_assert_str_eq(f->files[0]->file_mode, "drwxrwxrwx");
    r.kind = PB__AGENT_REQUEST__KIND__FS_STAT;
    r.path = arena_strdup(f->arena, "t/local/app.conf");
    cr_assert(fake_read(f, r, 0, 5000));
    cr_assert_str_eq(f->files[0]->content_type, "text/plain; charset=utf-8");
    r.kind = PB__AGENT_REQUEST__KIND__FS_READ;
    r.has_offset = r.has_limit = true;
    r.offset = 2;
    r.limit = 5;
    cr_assert(fake_read(f, r, 0, 5000));
    cr_assert_str_eq(strbuf_text(&f->data), "eetin");
    r.offset = r.limit = 0;
    static const char *const refused[][2] = {
        {"../../..", "Path escapes the alloc directory"},
        {"t/alloc-link/passwd", "Path escapes the alloc directory"},
        {"t/secrets/key", "Reading secret file prohibited: t/secrets/key"},
        {"t/local/k", "Reading secret file prohibited: t/local/k"},
        {"t/local/p", "file \"t/local/p\" is not a plain file"},
        {"t", "file \"t\" is a directory"},
    };
    for (size_t k = 0; k < COUNT_OF(refused); k++) {
        r.path = (char *)(uintptr_t)refused[k][0];
        cr_assert(fake_read(f, r, 0, 5000));
        cr_assert_eq(f->error_status, 400);
        cr_assert_str_eq(f->error, refused[k][1]);
    }
}

Test(nodeagent, logs_are_followed_across_rotated_files)
{
    Pb__Job *job =
        fake_job(f, "batch", "raw_exec",
                 SH("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i "
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "; done; sleep 0.5; echo the end"));
    static Pb__LogConfig log = PB__LOG_CONFIG__INIT;
    log.has_max_files = log.has_max_file_size_mb = true;
    log.max_files = 4;
    log.max_file_size_mb = 1;
    job->task_groups[0]->tasks[0]->log_config = &log;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, 5000));
    Pb__AgentRequest r = PB__AGENT_REQUEST__INIT;
    r.has_kind = r.has_alloc_id = r.has_follow = true;
    r.alloc_id = f->allocs[i].alloc->id;
    r.kind = PB__AGENT_REQUEST__KIND__FS_LOGS;
    r.task = arena_strdup(f->arena, "t");
    r.log_type = arena_strdup(f->arena, "stdout");
    r.follow = true;
    fake_read(f, r, 1 << 30, 4000);
    cr_assert(strncmp(strbuf_text(&f->data), "line 1 ", 7) == 0);
    cr_assert(strstr(strbuf_text(&f->data), "line 3000 ") != NULL);
    cr_assert(strstr(strbuf_text(&f->data), "the end\n") != NULL);
    cr_assert_str_eq(f->last_file, "alloc/logs/t.stdout.1");
    r.follow = false;
    r.has_offset = r.has_from_end = r.from_end = true;
    r.offset = 8;
    cr_assert(fake_read(f, r, 0, 5000));
    cr_assert_str_eq(strbuf_text(&f->data), "the end\n");
    r.task = arena_strdup(f->arena, "nope");
    cr_assert(fake_read(f, r, 0, 5000));
    cr_assert_eq(f->error_status, 400);
    cr_assert_str_eq(f->error, "unknown task name \"nope\"");
}

Test(nodeagent, a_task_finds_its_environment_and_directory)
{
    Pb__Job *job =
        fake_job(f, "batch", "raw_exec",
                 SH("pwd; echo $NOMAD_TASK_DIR $NORN_ALLOC_INDEX $GREETING; "
                    "echo ${attr.kernel.name} ${meta.rack} ${UNSET-none}; "
                    "echo x > $NOMAD_SECRETS_DIR/s && echo y > $NOMAD_ALLOC_DIR/data/d && ls"));
    Pb__Task *t = job->task_groups[0]->tasks[0];
    Pb__KeyValue *kv = arena_alloc(f->arena, sizeof *kv);
    pb__key_value__init(kv);
    kv->key = arena_strdup(f->arena, "GREETING");
    kv->value = arena_strdup(f->arena, "hello-${node.unique.name}");
    t->env = arena_array(f->arena, Pb__KeyValue *, 1);
    t->env[0] = kv;
    t->n_env = 1;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 5000));
    const char *dir = fake_path(f, i, "t");
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"),
                     arena_printf(f->arena,
                                  "%s\n%s/local 0 hello-tester\nlinux r1 none\n"
                                  "local\nsecrets\ntmp\n",
                                  dir, dir));
}

Test(nodeagent, a_name_that_leads_elsewhere_is_refused)
{
    static const char *const names[] = {"../../../x", "..", "alloc"};
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        Pb__Job *job = fake_job(f, "service", "mock", "{\"run_for\": \"1h\"}");
        job->task_groups[0]->tasks[0]->name = arena_strdup(f->arena, names[k]);
        int i = fake_place(f, job);
        cr_assert(fake_await(f, i, FAILED, 5000));
    }
}

Test(nodeagent, a_task_runs_as_its_user)
{
    if (geteuid() != 0)
        return; /* only root may choose */
    Pb__Job *job =
        fake_job(f, "batch", "raw_exec",
                 SH("id -un; id -Gn; echo s > secrets/k && echo l > local/k && cat secrets/k"));
    job->task_groups[0]->tasks[0]->user = arena_strdup(f->arena, "nobody");
    int i = fake_place(f, job);
    int k = fake_place(f, fake_job(f, "batch", "raw_exec", SH("true")));
    f->allocs[k].job->task_groups[0]->tasks[0]->user = arena_strdup(f->arena, "no-such-user");
    cr_assert(fake_await(f, i, COMPLETE, 5000), "%s", fake_content(f, i, "alloc/logs/t.stderr.0"));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "nobody\nnogroup\ns\n");
}

Test(nodeagent, the_kill_signal_and_timeout_are_the_jobs)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec",
                            SH("trap 'echo got-usr1; exit 5' USR1; trap '' INT; echo up; while :; "
                               "do sleep 0.05; done"));
    job->task_groups[0]->tasks[0]->kill_signal = arena_strdup(f->arena, "SIGUSR1");
    job->task_groups[0]->tasks[0]->kill_timeout_ns = 20000000000;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, 5000));
    await_output(i);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 3000));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "up\ngot-usr1\n");
    cr_assert_eq(fake_task(f, i, "t")->events[4]->exit_code, 5);
    cr_assert_str_eq(fake_task(f, i, "t")->events[3]->display_message,
                     "Sent interrupt. Waiting 20s before force killing");
}

static bool is_running_again(struct fake *w)
{
    const Pb__TaskState *t = fake_task(w, 0, "t");
    return t != NULL && t->restarts == 1 && t->state == PB__TASK_STATE__STATE__RUNNING;
}

Test(nodeagent, what_died_with_its_supervisor_while_no_agent_was_there_starts_again)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec",
                            arena_printf(f->arena, SH("echo $PPID; sleep %s"), fake_mark()));
    Pb__RestartPolicy *p = job->task_groups[0]->restart_policy;
    p->attempts = 2;
    p->has_interval_ns = p->has_delay_ns = true;
    p->interval_ns = 60000000000;
    p->delay_ns = 50000000;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, 5000));
    int shim = atoi(await_output(i));
    fake_kill_agent(f, SIGKILL);
    kill(shim, SIGKILL);
    fake_run(f, 50);
    fake_start_agent(f);
    cr_assert(fake_until(f, is_running_again, 5000));
    cr_assert(fake_until(f, is_marked, 5000));
    fake_run(f, 100);
    cr_assert_eq(fake_count_processes(fake_mark()), 2, "the shell and its sleep, once");
}

Test(nodeagent, on_term_it_takes_its_tasks_along_if_told_so)
{
    fake_kill_agent(f, SIGTERM);
    f->extra[0] = "--stop-tasks-on-exit";
    f->extra[1] = "true";
    fake_start_agent(f);
    int i =
        fake_place(f, fake_job(f, "service", "raw_exec",
                               arena_printf(f->arena, SH("trap '' INT; sleep %s"), fake_mark())));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    fake_kill_agent(f, SIGTERM);
    cr_assert_eq(fake_count_processes(fake_mark()), 0);
    f->allocs[i].alloc = NULL; /* thrown away with its data */
}

static bool dir_is_gone(struct fake *w)
{
    return w->registrations >= 2 && fake_count_processes(fake_mark()) == 0 &&
           access(w->error, F_OK) != 0;
}

Test(nodeagent, what_the_servers_forgot_goes_with_its_directory)
{
    int i = fake_place(f, fake_job(f, "service", "raw_exec",
                                   arena_printf(f->arena, SH("exec sleep %s"), fake_mark())));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    snprintf(f->error, sizeof f->error, "%s", fake_path(f, i, "alloc"));
    cr_assert(access(f->error, F_OK) == 0);
    /* A list since index 0 is what a new agent asks for. */
    fake_kill_agent(f, SIGKILL);
    fake_remove(f, i);
    fake_start_agent(f);
    cr_assert(fake_until(f, dir_is_gone, 5000));
}

static bool path_is_gone(struct fake *w)
{
    return access(w->error, F_OK) != 0;
}

Test(nodeagent, what_has_ended_makes_room_when_too_many_are_kept)
{
    fake_kill_agent(f, SIGKILL);
    f->extra[0] = "--gc-check-interval-ms";
    f->extra[1] = "50";
    f->extra[2] = "--gc-max-allocs";
    f->extra[3] = "2";
    f->extra[4] = "--gc-disk-usage-threshold"; /* whatever this machine's disk holds */
    f->extra[5] = "101";
    f->extra[6] = NULL;
    fake_start_agent(f);
    int first = fake_place(f, fake_job(f, "batch", "raw_exec", SH("true")));
    cr_assert(fake_await(f, first, COMPLETE, 20000));
    snprintf(f->error, sizeof f->error, "%s", fake_path(f, first, "alloc"));
    cr_assert(access(f->error, F_OK) == 0, "two may be kept");
    int second = fake_place(f, fake_job(f, "batch", "raw_exec", SH("true")));
    cr_assert(fake_await(f, second, COMPLETE, 20000));
    int third = fake_place(f, fake_job(f, "service", "raw_exec", SH("exec sleep 100")));
    cr_assert(fake_await(f, third, RUNNING, 20000));
    cr_assert(fake_until(f, path_is_gone, 20000));
    cr_assert(access(fake_path(f, second, "alloc"), F_OK) == 0, "only the oldest goes");
}

static bool all_run(struct fake *w)
{
    for (int i = 0; i < w->alloc_count; i++)
        if (!fake_is(w, i, RUNNING))
            return false;
    return true;
}

Test(nodeagent, sixty_tasks_start_within_a_few_seconds_and_cost_the_agent_little)
{
    uint64_t begun_ms = loop_now_ms(f->loop);
    for (int i = 0; i < 60; i++)
        fake_place(f, fake_job(f, "service", "mock", "{\"run_for\": \"1h\"}"));
    cr_assert(fake_until(f, all_run, 15000));
    cr_log_info("60 tasks in %lu ms, agent %ld kB", loop_now_ms(f->loop) - begun_ms,
                fake_rss_kb(f->agent));
#ifndef __SANITIZE_ADDRESS__
    cr_assert_leq(fake_rss_kb(f->agent), 8192);
#endif
}

Test(nodeagent, an_idle_agent_is_small_and_so_is_a_shim)
{
    int i = fake_place(f, fake_job(f, "service", "raw_exec", SH("echo $PPID; exec sleep 3600")));
    cr_assert(fake_await(f, i, RUNNING, 5000));
    long shim = fake_rss_kb(atoi(await_output(i))), agent = fake_rss_kb(f->agent);
    cr_log_info("agent %ld kB, shim %ld kB", agent, shim);
    cr_assert(shim > 0 && shim <= 1024, "%ld kB", shim);
#ifndef __SANITIZE_ADDRESS__
    cr_assert(agent > 0 && agent <= 8192, "%ld kB", agent);
#endif
}
