/* An allocation takes over the disk of the one that it replaces. */
#include "fake_gateway.h"
#include "base/id.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"
#define RUNNING    PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE

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
TestSuite(disk, .init = begin, .fini = end, .timeout = 120);

static Pb__Job *sticky_job(const char *type, const char *config)
{
    Pb__Job *job = fake_job(f, type, "raw_exec", config);
    Pb__EphemeralDisk *disk = arena_alloc(f->arena, sizeof *disk);
    pb__ephemeral_disk__init(disk);
    disk->has_sticky = disk->sticky = true;
    job->task_groups[0]->ephemeral_disk = disk;
    return job;
}

static int place_after(int previous, Pb__Job *job)
{
    f->previous = f->allocs[previous].alloc->id;
    int i = fake_place(f, job);
    f->previous = (ProtobufCBinaryData){0};
    return i;
}

static int owner;
static bool owner_has_written(struct fake *w)
{
    return strcmp(fake_content(w, owner, "alloc/data/shared"), "two\n") == 0;
}

static bool was_asked(struct fake *w)
{
    return w->asked_path[0] != '\0';
}

#define KEEPS                                                                                      \
    "echo one > local/own; trap 'echo last >> local/own; exit 0' INT; "                            \
    "echo two > ../alloc/data/shared; while :; do sleep 0.05; done"

/* What the first wrote as it ended is there too: the last has waited for that. The one between them
 * never came to start. */
Test(disk, the_data_go_on_to_the_next_that_starts)
{
    owner = fake_place(f, sticky_job("service", SH(KEEPS)));
    cr_assert(fake_until(f, owner_has_written, 30000));
    int between = place_after(owner, sticky_job("service", SH("sleep 600")));
    int last = place_after(between, sticky_job("batch", SH("cat local/own ../alloc/data/shared")));
    fake_stop(f, between);
    cr_assert(fake_await(f, between, COMPLETE, 30000));
    fake_kill_agent(f, SIGKILL);
    fake_start_agent(f);
    fake_stop(f, owner);
    cr_assert(fake_await(f, last, COMPLETE, 30000), "%s", fake_events(f, last, "t"));
    cr_expect_str_eq(fake_content(f, last, "alloc/logs/t.stdout.0"), "one\nlast\ntwo\n");
    cr_expect_str_eq(fake_content(f, owner, "alloc/data/shared"), "");
    cr_expect_str_eq(fake_events(f, between, "t"), "Received,Killed");
}

Test(disk, what_cannot_be_moved_is_said_and_the_task_starts)
{
    owner =
        fake_place(f, sticky_job("batch", SH("mv ../alloc/data ../alloc/other; "
                                             "ln -s /etc ../alloc/data; echo one > local/own")));
    cr_assert(fake_await(f, owner, COMPLETE, 30000));
    int i = place_after(owner, sticky_job("batch", SH("cat local/own; ls ../alloc/data")));
    cr_assert(fake_await(f, i, COMPLETE, 30000));
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "one\n");
    cr_expect_str_eq(fake_events(f, i, "t"),
                     "Received,Task Setup,Disk Not Moved,Started,Terminated");
}

/* Follows an allocation that this node never had. */
static int place_stranger(const char *config)
{
    Pb__Job *job = sticky_job("batch", config);
    job->task_groups[0]->ephemeral_disk->has_migrate = true;
    job->task_groups[0]->ephemeral_disk->migrate = true;
    f->previous = wire_id(f->arena, id_new().bytes);
    int i = fake_place(f, job);
    f->previous = (ProtobufCBinaryData){0};
    return i;
}

static void expect_not_moved(int i, const char *why)
{
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", fake_events(f, i, "t"));
    cr_assert_str_eq(fake_events(f, i, "t"),
                     "Received,Task Setup,Disk Not Moved,Started,Terminated");
    const char *text = fake_task(f, i, "t")->events[2]->display_message;
    cr_expect(strstr(text, why) != NULL, "%s", text);
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "");
}

Test(disk, what_cannot_be_had_from_another_node_is_said_and_the_task_starts)
{
    f->http_status = 404;
    strbuf_puts(&f->http, "Unknown allocation");
    expect_not_moved(place_stranger(SH("find local ../alloc/data -type f")), "Unknown allocation");
    cr_expect(strncmp(f->asked_path, "/v1/client/allocation/", 22) == 0, "%s", f->asked_path);
    cr_expect_eq(f->asks, 1);
    f->http_status = 200;
    strbuf_clear(&f->http);
    expect_not_moved(place_stranger(SH("find local ../alloc/data -type f")), "Unrecognized");
    cr_expect_eq(f->asks, 1 + 3, "what is cut short is asked for again: %d", f->asks);
    for (int i = 0; i < 100000; i++)
        strbuf_puts(&f->http, "this is no tar");
    expect_not_moved(place_stranger(SH("find local ../alloc/data -type f")), "Unrecognized");
}

/* As taskmove packs it: what the shell command makes in an empty directory, and the sign that it is
 * whole. */
static void pack_disk(const char *command)
{
    char line[1024], part[65536];
    size_t n;
    snprintf(
        line, sizeof line,
        "d=%s/pack && mkdir -p $d/alloc/data $d/t/local && cd $d && { %s; } && : >.complete && "
        "tar cf - alloc/data t/local .complete && rm -r $d",
        f->dir, command);
    strbuf_clear(&f->http);
    FILE *p = popen(line, "re");
    cr_assert_not_null(p);
    while ((n = fread(part, 1, sizeof part, p)) > 0)
        strbuf_add(&f->http, part, n);
    cr_assert_eq(pclose(p), 0);
}

static int half;
static bool half_has_come(struct fake *w)
{
    char path[256], id[ID_TEXT_SIZE];
    struct stat st;
    id_format(w->allocs[half].alloc->id.data, id);
    snprintf(path, sizeof path, "%s/data/moving/%s/alloc/data/half", w->dir, id);
    return stat(path, &st) == 0 && st.st_size > 0;
}

static bool was_asked_again(struct fake *w)
{
    return w->asks == 2;
}

/* Neither a file of which half had come, nor one that is no longer part of the disk. */
Test(disk, an_agent_that_is_killed_while_a_disk_comes_fetches_it_again)
{
    pack_disk("head -c 400000 /dev/urandom >alloc/data/half; echo old >alloc/data/stale; echo one "
              ">t/local/own");
    f->http_status = 200;
    f->http_held = f->http.len - 200000;
    half = place_stranger(SH("cat local/own; ls ../alloc/data; wc -c <../alloc/data/half"));
    cr_assert(fake_until(f, half_has_come, 30000));
    fake_kill_agent(f, SIGKILL);
    pack_disk("head -c 500000 /dev/urandom >alloc/data/half; echo two >t/local/own");
    f->http_held = f->http.len - 200000;
    fake_start_agent(f);
    cr_assert(fake_until(f, was_asked_again, 30000));
    cr_assert(fake_until(f, half_has_come, 30000));
    cr_assert_eq(fake_task(f, half, "t") != NULL && fake_task(f, half, "t")->started_at != 0, false,
                 "it does not start with half a disk");
    fake_kill_agent(f, SIGKILL);
    f->http_held = 0;
    fake_start_agent(f);
    cr_assert(fake_await(f, half, COMPLETE, 30000), "%s", fake_events(f, half, "t"));
    cr_expect_str_eq(fake_content(f, half, "alloc/logs/t.stdout.0"), "two\nhalf\n500000\n");
    cr_expect(strstr(fake_events(f, half, "t"), "Disk Not Moved") == NULL, "%s",
              fake_events(f, half, "t"));
    cr_expect_eq(f->asks, 3);
}

Test(disk, one_that_is_stopped_while_its_disk_comes_ends)
{
    f->http_status = 503; /* for ever */
    int i = place_stranger(SH("sleep 600"));
    cr_assert(fake_until(f, was_asked, 30000));
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, 30000), "%s", fake_events(f, i, "t"));
}

Test(disk, what_is_not_sticky_begins_empty)
{
    owner = fake_place(f, sticky_job("batch", SH("echo two > ../alloc/data/shared")));
    cr_assert(fake_await(f, owner, COMPLETE, 30000));
    Pb__Job *job = sticky_job("batch", SH("ls ../alloc/data"));
    job->task_groups[0]->ephemeral_disk->sticky = false;
    int i = place_after(owner, job);
    cr_assert(fake_await(f, i, COMPLETE, 30000));
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "");
    cr_expect(owner_has_written(f));
}
