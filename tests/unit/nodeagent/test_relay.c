/* Lines on their way to a real socket, at times that the test says. */
#include "base/err.h"
#include "nodeagent/logrelay.h"
#include "nodeagent/shim/relay.h"
#include "nodeagent/taskenv.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], path[96], got[RELAY_LINE + 4096];
static int receiver = -1;
static struct relay *relay;
static struct shim_spec head;

static void listen_there(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(receiver, (struct sockaddr *)&address, sizeof address), 0);
}

static void go_away(void)
{
    close(receiver);
    receiver = -1;
}

static void begin(void)
{
    strcpy(dir, "/tmp/norn-relay-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    listen_there();
}

static void end(void)
{
    go_away();
    unlink(path);
    rmdir(dir);
}
TestSuite(relay, .init = begin, .fini = end, .timeout = 60);

static void start(enum shim_relay kind, const char *text)
{
    head.relay = kind;
    head.relay_facility = 16;
    const struct spec_view v = {.head = &head, .relay_socket = path, .relay_head = text};
    relay = relay_new(&v);
    cr_assert_not_null(relay);
    relay_begin(relay, 7);
}

static void say(int stream, const char *text, int64_t now_ms)
{
    relay_write(relay, stream, text, strlen(text), now_ms);
}

/* The next datagram; "" if there is none. */
static const char *heard(void)
{
    ssize_t n = recv(receiver, got, sizeof got - 1, 0);
    got[n < 0 ? 0 : n] = '\0';
    return got;
}

Test(relay, a_task_that_wants_none_has_none)
{
    head.relay = SHIM_RELAY_NONE;
    const struct spec_view v = {.head = &head, .relay_socket = path, .relay_head = ""};
    int64_t at = 5;
    relay = relay_new(&v);
    cr_assert_null(relay);
    say(0, "x\n", 0);
    relay_flush(relay, 0);
    relay_end(relay, 0);
    cr_assert_eq(relay_waits(relay, &at), -1);
    cr_assert(at == 5 && relay_lost(relay) == 0);
}

Test(relay, lines_come_one_by_one_however_they_are_cut)
{
    start(SHIM_RELAY_SYSLOG, "web");
    say(0, "one\n\ntw", 0);
    say(1, "bad\n", 0);
    say(0, "o\nthree", 0);
    cr_assert_str_eq(heard(), "<134>web[7]: one");
    cr_assert_str_eq(heard(), "<131>web[7]: bad");
    cr_assert_str_eq(heard(), "<134>web[7]: two");
    cr_assert_str_eq(heard(), "");
    relay_end(relay, 0);
    cr_assert_str_eq(heard(), "<134>web[7]: three");
    cr_assert_eq(relay_lost(relay), 0);
}

Test(relay, the_journal_gets_fields)
{
    start(SHIM_RELAY_JOURNALD, "SYSLOG_IDENTIFIER=web\n");
    say(1, "bad\n", 0);
    cr_assert_str_eq(heard(),
                     "SYSLOG_IDENTIFIER=web\nPRIORITY=3\nSYSLOG_FACILITY=16\nMESSAGE=bad\n");
}

Test(relay, a_long_line_comes_in_pieces)
{
    static char line[3 * RELAY_LINE];
    memset(line, 'x', sizeof line);
    start(SHIM_RELAY_SYSLOG, "t");
    for (size_t at = 0; at < sizeof line; at += 1000)
        relay_write(relay, 0, line + at, sizeof line - at < 1000 ? sizeof line - at : 1000, 0);
    say(0, "y\n", 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(strlen(heard()), RELAY_LINE + strlen("<134>t[7]: "));
    cr_assert_str_eq(heard(), "<134>t[7]: y");
}

Test(relay, what_is_kept_goes_when_someone_listens_again)
{
    int64_t at = 10000;
    start(SHIM_RELAY_SYSLOG, "t");
    go_away();
    say(0, "one\n", 1);
    say(0, "two\n", 2);
    cr_assert_eq(relay_waits(relay, &at), -1);
    cr_assert_eq(at, 1 + RELAY_RETRY_MS);
    listen_there();
    relay_flush(relay, at - 1);
    cr_assert_str_eq(heard(), "", "it is not sought more often");
    relay_flush(relay, at);
    cr_assert_str_eq(heard(), "<134>t[7]: one");
    cr_assert_str_eq(heard(), "<134>t[7]: two");
    cr_assert_eq(relay_lost(relay), 0);
}

Test(relay, what_is_lost_is_counted_and_told_in_its_place)
{
    char text[64];
    int kept = 0;
    start(SHIM_RELAY_SYSLOG, "t");
    go_away();
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "%d\n", i);
        say(0, text, 1);
    }
    uint32_t lost = relay_lost(relay);
    cr_assert(lost > 0 && lost < 20000);
    listen_there();
    /* The receiver's queue is short: it is full again and again. */
    for (int64_t now = 5000; now < 30000; now++) {
        relay_flush(relay, now);
        for (; *heard() != '\0'; kept++) {
            snprintf(text, sizeof text, "<134>t[7]: %d", kept);
            if (strcmp(got, text) != 0)
                goto told;
        }
    }
told:
    cr_assert_eq(kept + (int)lost, 20000);
    snprintf(text, sizeof text, "<132>t[7]: %u lines were lost here", lost);
    cr_assert_str_eq(got, text);
    say(0, "next\n", 30000);
    cr_assert_str_eq(heard(), "<134>t[7]: next");
    cr_assert_eq(relay_lost(relay), lost);
}

Test(relay, a_full_socket_is_waited_for_by_poll_and_never_otherwise)
{
    int64_t at = 10000;
    int count = 0;
    start(SHIM_RELAY_SYSLOG, "t");
    for (int i = 0; i < 500; i++)
        say(0, "a line\n", 0);
    cr_assert_geq(relay_waits(relay, &at), 0);
    cr_assert_eq(at, 10000);
    for (bool more = true; more;) {
        relay_flush(relay, 0);
        more = *heard() != '\0';
        count += more;
    }
    cr_assert_eq(count, 500);
    cr_assert_eq(relay_waits(relay, &at), -1);
}

Test(relay, the_end_does_not_wait_for_who_is_away)
{
    start(SHIM_RELAY_SYSLOG, "t");
    go_away();
    say(0, "one\ntwo\nthr", 0);
    relay_end(relay, 0);
    cr_assert_eq(relay_lost(relay), 3);
}

/* ---- what the job says */

static void find(const char *forward, const char *facility, const char *tag, enum err expected,
                 struct log_relay *out, struct arena *a)
{
    static uint8_t id[16] = {0x2a};
    Pb__LogConfig log = PB__LOG_CONFIG__INIT;
    Pb__Task task = PB__TASK__INIT;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT;
    Pb__Job job = PB__JOB__INIT;
    Pb__Alloc alloc = PB__ALLOC__INIT;
    Pb__Node node = PB__NODE__INIT;
    Pb__Resources resources = PB__RESOURCES__INIT;
    const struct log_sockets sockets = {"/s", "/j"};
    struct reason why = {""};
    log.forward = (char *)(uintptr_t)forward;
    log.facility = (char *)(uintptr_t)facility;
    log.tag = (char *)(uintptr_t)tag;
    task.name = (char[]){"server"};
    task.log_config = &log;
    task.resources = &resources;
    group.name = (char[]){"front"};
    job.id = (char[]){"web"};
    job.name = (char[]){"a\nb"};
    alloc.id = (ProtobufCBinaryData){16, id};
    node.name = node.datacenter = (char[]){"n"};
    const struct taskenv_input in = {.alloc = &alloc,
                                     .job = &job,
                                     .group = &group,
                                     .task = &task,
                                     .node = &node,
                                     .region = "r",
                                     .ip = "::1",
                                     .alloc_dir = "/a",
                                     .task_dir = "/t",
                                     .secrets_dir = "/x"};
    const struct log_relay_ask ask = {&task, &group, &job, &alloc, taskenv_new(a, &in), &sockets};
    cr_assert_eq(log_relay_find(a, &ask, out, &why), expected, "%s", why.text);
}

Test(relay, a_job_says_where_and_as_what)
{
    struct arena *a = arena_new(1 << 20);
    struct log_relay r;
    find(NULL, NULL, NULL, OK, &r, a);
    cr_assert_eq(r.kind, SHIM_RELAY_NONE);
    find("syslog", NULL, NULL, OK, &r, a);
    cr_assert(r.kind == SHIM_RELAY_SYSLOG && r.facility == 3);
    cr_assert_str_eq(r.socket, "/s");
    cr_assert_str_eq(r.head, "server");
    find("syslog", "local7", "${NOMAD_JOB_ID}: [x]", OK, &r, a);
    cr_assert_eq(r.facility, 23);
    cr_assert_str_eq(r.head, "web___x_");
    find("journald", NULL, NULL, OK, &r, a);
    cr_assert_eq(r.kind, SHIM_RELAY_JOURNALD);
    cr_assert_str_eq(r.socket, "/j");
    cr_assert_str_eq(r.head,
                     "SYSLOG_IDENTIFIER=server\n"
                     "NOMAD_ALLOC_ID=2a000000-0000-0000-0000-000000000000\n"
                     "NOMAD_ALLOC_INDEX=0\nNOMAD_GROUP_NAME=front\nNOMAD_JOB_ID=web\n"
                     "NOMAD_JOB_NAME=a b\nNOMAD_NAMESPACE=default\nNOMAD_TASK_NAME=server\n");
    find("kafka", NULL, NULL, ERR_INVALID, &r, a);
    find("syslog", "local8", NULL, ERR_INVALID, &r, a);
    arena_free(a);
}
