/* What tasks print: on to syslog and journald, and in amounts that must cost nobody memory. */
#include "fake_gateway.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"
#define RUNNING    PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE

enum { MB = 1 << 20 };

static struct fake *f;
static char syslog_path[96], journal_path[96], got[16384];
static int receiver = -1;

static void begin(void)
{
    f = fake_new();
    snprintf(syslog_path, sizeof syslog_path, "%s/syslog", f->dir);
    snprintf(journal_path, sizeof journal_path, "%s/journal", f->dir);
    f->extra[0] = "--syslog-socket";
    f->extra[1] = syslog_path;
    f->extra[2] = "--journald-socket";
    f->extra[3] = journal_path;
    fake_start_agent(f);
}

static void end(void)
{
    if (receiver >= 0)
        close(receiver);
    fake_free(f);
}
TestSuite(logs, .init = begin, .fini = end, .timeout = 120);

static void listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(receiver, (struct sockaddr *)&address, sizeof address), 0);
}

static void go_away(void)
{
    close(receiver);
    receiver = -1;
}

static const char *hear(void)
{
    struct pollfd p = {receiver, POLLIN, 0};
    cr_assert_eq(poll(&p, 1, 20000), 1, "nothing is heard");
    ssize_t n = recv(receiver, got, sizeof got - 1, 0);
    cr_assert_geq(n, 0);
    got[n] = '\0';
    return got;
}

static Pb__LogConfig *logs_of(Pb__Job *job)
{
    Pb__LogConfig *log = arena_alloc(f->arena, sizeof *log); /* the job is sent again at the end */
    pb__log_config__init(log);
    job->task_groups[0]->tasks[0]->log_config = log;
    return log;
}

/* Says what is written to alloc/data/say, one after another. */
#define ECHO SH("mkfifo ../alloc/data/say; exec cat 0<>../alloc/data/say")

static void let_say(int i, const char *text)
{
    const char *path = fake_path(f, i, "alloc/data/say");
    int fd = -1;
    for (int k = 0; fd < 0 && k < 1000; k++) {
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            poll(NULL, 0, 10);
    }
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int place_echo(const char *where, const char *tag, bool disabled)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec", ECHO);
    Pb__LogConfig *log = logs_of(job);
    log->forward = arena_strdup(f->arena, where);
    log->facility = arena_strdup(f->arena, "local0");
    log->tag = tag == NULL ? NULL : arena_strdup(f->arena, tag);
    log->has_disabled = log->disabled = disabled;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, 10000));
    return i;
}

static void expect_line(const char *begin, const char *end)
{
    hear();
    cr_assert(strncmp(got, begin, strlen(begin)) == 0, "%s", got);
    size_t len = strlen(got), tail = strlen(end);
    cr_assert(len > tail && strcmp(got + len - tail, end) == 0, "%s", got);
}

Test(logs, lines_go_to_syslog_with_and_without_agent_and_receiver)
{
    listen_at(syslog_path);
    int i = place_echo("syslog", "${NOMAD_TASK_NAME}-x", false);
    let_say(i, "one\ntwo\n");
    expect_line("<134>t-x[", "]: one");
    expect_line("<134>t-x[", "]: two");
    fake_kill_agent(f, SIGKILL);
    let_say(i, "alone\n");
    expect_line("<134>t-x[", "]: alone");
    go_away();
    let_say(i, "unheard\n");
    for (int k = 0; strstr(fake_content(f, i, "alloc/logs/t.stdout.0"), "unheard") == NULL; k++) {
        cr_assert_lt(k, 1000, "the files do not go on");
        poll(NULL, 0, 10);
    }
    listen_at(syslog_path);
    expect_line("<134>t-x[", "]: unheard");
    let_say(i, "again\n");
    expect_line("<134>t-x[", "]: again");
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"),
                     "one\ntwo\nalone\nunheard\nagain\n");
}

Test(logs, the_journal_is_told_whose_line_it_is_and_files_may_be_off)
{
    listen_at(journal_path);
    int i = place_echo("journald", NULL, true);
    let_say(i, "one\n");
    expect_line("SYSLOG_IDENTIFIER=t\nNOMAD_ALLOC_ID=",
                "\nPRIORITY=6\nSYSLOG_FACILITY=16\nMESSAGE=one\n");
    cr_assert_not_null(strstr(got, "\nNOMAD_GROUP_NAME=g\n"));
    cr_assert_not_null(strstr(got, "\nNOMAD_TASK_NAME=t\n"));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "");
}

Test(logs, a_receiver_that_does_not_read_holds_up_neither_task_nor_files)
{
    struct stat st;
    listen_at(syslog_path);
    Pb__Job *job = fake_job(f, "batch", "raw_exec", SH("seq 1 200000; exit 0"));
    logs_of(job)->forward = arena_strdup(f->arena, "syslog");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000));
    cr_assert_eq(stat(fake_path(f, i, "alloc/logs/t.stdout.0"), &st), 0);
    cr_assert_eq(st.st_size, 1288895);
    const Pb__TaskState *t = fake_task(f, i, "t");
    const char *text = t->events[t->n_events - 1]->display_message;
    cr_assert_not_null(strstr(text, " lines of its output were not forwarded"), "%s", text);
}

static const char *content_when_said(int i, const char *path)
{
    for (int k = 0; k < 2000; k++) {
        const char *text = fake_content(f, i, path);
        if (strchr(text, '\n') != NULL)
            return text;
        fake_run(f, 10);
    }
    cr_assert_fail("nothing in %s", path);
    return "";
}

Test(logs, a_line_of_a_hundred_megabytes_arrives_whole_and_nobody_holds_it)
{
    char path[64];
    uint64_t all = 0;
    /* The pattern is of 11 bytes: no file and no read begins where another did. */
    Pb__Job *job = fake_job(
        f, "service", "raw_exec",
        SH("echo $PPID >&2; yes 0123456789 | tr -d '\\\\n' | head -c 104857600; exec sleep 3600"));
    Pb__LogConfig *log = logs_of(job);
    log->has_max_files = log->has_max_file_size_mb = true;
    log->max_files = 20;
    log->max_file_size_mb = 10;
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, RUNNING, 10000));
    int shim = atoi(content_when_said(i, "alloc/logs/t.stderr.0"));
    long before = fake_rss_kb(f->agent);
    Pb__AgentRequest r = PB__AGENT_REQUEST__INIT;
    r.has_kind = r.has_alloc_id = r.has_follow = r.follow = true;
    r.alloc_id = f->allocs[i].alloc->id;
    r.kind = PB__AGENT_REQUEST__KIND__FS_LOGS;
    r.task = arena_strdup(f->arena, "t");
    r.log_type = arena_strdup(f->arena, "stdout");
    fake_read(f, r, 100 * MB, 60000);
    cr_assert_eq(f->data.len, 100 * MB);
    for (size_t at = 0; at < f->data.len; at++)
        cr_assert(f->data.data[at] == (char)('0' + at % 10), "at %zu", at);
    for (int k = 0; k < 11; k++) {
        struct stat st;
        snprintf(path, sizeof path, "alloc/logs/t.stdout.%d", k);
        all += stat(fake_path(f, i, path), &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    cr_assert_eq(all, 100 * MB);
    cr_log_info("shim %ld kB, agent %ld kB, before %ld kB", fake_rss_kb(shim),
                fake_rss_kb(f->agent), before);
    cr_assert(fake_rss_kb(shim) > 0 && fake_rss_kb(shim) <= 1024, "%ld kB", fake_rss_kb(shim));
#ifndef __SANITIZE_ADDRESS__
    cr_assert_lt(fake_rss_kb(f->agent), before + 4096);
#endif
}

Test(logs, output_that_is_closed_and_opened_again_goes_on)
{
    Pb__Job *job = fake_job(f, "batch", "raw_exec",
                            SH("exec 3>&1; echo one; exec 1>&-; exec 1>/proc/self/fd/3; echo two; "
                               "exec 1>&- 3>&-; echo three >/proc/self/fd/2; exit 0"));
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, 20000));
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "one\ntwo\n");
    cr_assert_str_eq(fake_content(f, i, "alloc/logs/t.stderr.0"), "three\n");
}
