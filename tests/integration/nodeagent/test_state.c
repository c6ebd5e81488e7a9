/* The agent's own state is cut, overwritten or gone while tasks run. */
#include "fake_gateway.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNNING    PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE   PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED     PB__ALLOC__CLIENT_STATUS__FAILED
#define SH(script) "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"" script "\"]}"
#define PAGE       4096
#define WAIT_MS    30000

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

TestSuite(state, .init = begin, .fini = end, .timeout = 120);

static const char *data_path(const char *below)
{
    return arena_printf(f->arena, "%s/data/%s", f->dir, below);
}

static const char *agent_log(void)
{
    char *text = arena_alloc(f->arena, 1 << 20);
    FILE *file = fopen(arena_printf(f->arena, "%s/agent.log", f->dir), "re");
    text[file == NULL ? 0 : fread(text, 1, (1 << 20) - 1, file)] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

static size_t count_aside(void)
{
    size_t n = 0;
    const struct dirent *e;
    DIR *d = opendir(data_path(""));
    while (d != NULL && (e = readdir(d)) != NULL)
        n += strncmp(e->d_name, "state.corrupt-", 14) == 0;
    if (d != NULL)
        closedir(d);
    return n;
}

static bool is_registered_again(struct fake *w)
{
    return w->registrations >= 2;
}

static void expect_said(const char *event)
{
    cr_expect(strstr(agent_log(), event) != NULL, "%s", agent_log());
}

/* ---- damage */

static off_t size_of_state(void)
{
    struct stat st;
    cr_assert_eq(stat(data_path("state/data.mdb"), &st), 0);
    return st.st_size;
}

static void cut_to(off_t size)
{
    cr_assert_eq(truncate(data_path("state/data.mdb"), size), 0);
}

/* holding NULL: every page. */
static void overwrite(off_t from, off_t to, const char *holding)
{
    struct prng random;
    uint8_t page[PAGE];
    int fd = open(data_path("state/data.mdb"), O_RDWR | O_CLOEXEC), hit = 0;
    cr_assert(fd >= 0);
    prng_seed(&random, 7);
    for (off_t at = from; at < to; at += PAGE) {
        ssize_t n = pread(fd, page, sizeof page, at);
        if (holding != NULL &&
            memmem(page, n < 0 ? 0 : (size_t)n, holding, strlen(holding)) == NULL)
            continue;
        for (size_t i = 0; i < sizeof page; i++)
            page[i] = (uint8_t)prng_next(&random);
        cr_assert_eq(pwrite(fd, page, sizeof page, at), PAGE);
        hit++;
    }
    close(fd);
    cr_assert(hit > 0);
}

/* What LMDB has in its last pages it may need no more: cut off is what it does need. */
static void cut_off_the_pages_of_a_job(void)
{
    uint8_t page[PAGE];
    off_t at = 2L * PAGE;
    int fd = open(data_path("state/data.mdb"), O_RDONLY | O_CLOEXEC);
    while (pread(fd, page, sizeof page, at) == PAGE &&
           memmem(page, sizeof page, "seldom", 6) == NULL)
        at += PAGE;
    close(fd);
    cr_assert(at < size_of_state());
    cut_to(at);
}
static void cut_within_its_first_pages(void)
{
    cut_to(PAGE + 100);
}
static void empty_it(void)
{
    cut_to(0);
}
static void overwrite_its_head(void)
{
    overwrite(0, 2L * PAGE, NULL);
}
static void overwrite_all_but_its_head(void)
{
    overwrite(2L * PAGE, size_of_state(), NULL);
}
static void overwrite_the_pages_of_a_job(void)
{
    overwrite(2L * PAGE, size_of_state(), "seldom");
}

/* One letter: everything can still be read. Returns in how many places. */
static int change_letter_of(const char *text)
{
    size_t size = (size_t)size_of_state();
    char *all = xmalloc(size);
    int fd = open(data_path("state/data.mdb"), O_RDWR | O_CLOEXEC), found = 0;
    cr_assert(fd >= 0 && pread(fd, all, size, 0) == (ssize_t)size);
    for (char *at = all; (at = memmem(at, size - (size_t)(at - all), text, strlen(text))) != NULL;
         at++) {
        cr_assert_eq(pwrite(fd, "X", 1, at - all), 1);
        found++;
    }
    close(fd);
    free(all);
    return found;
}

static void change_one_letter(void)
{
    cr_assert(change_letter_of("seldom") > 0);
}
static void change_an_event(void)
{
    change_letter_of("Task Setup");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}
static void remove_dir(const char *name)
{
    cr_assert_eq(nftw(data_path(name), remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
static void remove_it(void)
{
    remove_dir("state");
}

/* ---- and what is to come of it */

static int place_service(void)
{
    return fake_place(
        f, fake_job(f, "service", "raw_exec",
                    arena_printf(f->arena, SH("echo seldom; exec sleep %s"), fake_mark())));
}

static uint8_t node_before[16], secret_before[16];
static void note_node(void)
{
    memcpy(node_before, f->node->id.data, 16);
    memcpy(secret_before, f->node->secret_id.data, 16);
}

static void expect_same_node(void)
{
    cr_expect_arr_eq(f->node->id.data, node_before, 16);
    cr_expect_arr_eq(f->node->secret_id.data, secret_before, 16);
}

/* The copy may be from before it was seen to start, which its taskshim then tells again. */
static int kept;
static bool is_known_to_run(struct fake *w)
{
    return strcmp(fake_events(w, kept, "t"), "Received,Task Setup,Started") == 0;
}

static void expect_kept(int i)
{
    kept = i;
    cr_expect(fake_until(f, is_known_to_run, WAIT_MS), "%s", fake_events(f, i, "t"));
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"), "seldom\n", "started once");
    cr_expect_eq(fake_count_processes(fake_mark()), 1);
}

/* One runs on, one ends while no agent is there, one has ended before. */
static void survive(void (*damage)(void), bool aside)
{
    int over = fake_place(f, fake_job(f, "batch", "raw_exec", SH("exit 0")));
    cr_assert(fake_await(f, over, COMPLETE, WAIT_MS));
    int i = place_service();
    int k = fake_place(f, fake_job(f, "batch", "raw_exec",
                                   SH("while test ! -e local/end; do sleep 0.05; done; "
                                      "exit 7")));
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS) && fake_await(f, k, RUNNING, WAIT_MS));
    note_node();
    fake_kill_agent(f, SIGKILL);
    int fd = open(fake_path(f, k, "t/local/end"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(fd >= 0);
    close(fd);
    damage();
    f->registrations = 0;
    fake_start_agent(f);
    cr_assert(fake_await(f, k, FAILED, WAIT_MS), "%s", agent_log());
    cr_expect_eq(fake_task(f, k, "t")->events[3]->exit_code, 7);
    fake_run(f, 300);
    cr_expect_eq(f->allocs[over].updates > 0 && fake_is(f, over, COMPLETE), 1);
    cr_expect_eq(f->registrations, 1);
    expect_same_node();
    expect_kept(i);
    cr_expect_eq(count_aside(), aside);
    if (aside)
        expect_said("event=local_state_corrupt");
    expect_said("event=local_state_rebuilt");
    cr_expect(strstr(agent_log(), "orphan_shim") == NULL);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, WAIT_MS));
}

#define SURVIVES(damage, aside)                                                                    \
    Test(state, tasks_are_kept_after_##damage)                                                     \
    {                                                                                              \
        survive(damage, aside);                                                                    \
    }
SURVIVES(cut_off_the_pages_of_a_job, true)
SURVIVES(cut_within_its_first_pages, true)
SURVIVES(empty_it, false)
SURVIVES(overwrite_its_head, true)
SURVIVES(overwrite_all_but_its_head, true)
SURVIVES(overwrite_the_pages_of_a_job, true)
SURVIVES(change_one_letter, true)
SURVIVES(remove_it, false)

static bool runs_anew(struct fake *w)
{
    return w->registrations >= 1 && fake_is(w, 0, RUNNING) &&
           strstr(agent_log(), "orphan_shim") != NULL && fake_count_processes(fake_mark()) == 1;
}

static void expect_killed_and_said(int i)
{
    cr_expect(fake_until(f, runs_anew, WAIT_MS), "%s", agent_log());
    fake_run(f, 300);
    cr_expect_eq(fake_count_processes(fake_mark()), 1, "%s", agent_log());
    cr_expect_str_eq(fake_events(f, i, "t"), "Received,Task Setup,Started");
}

Test(state, what_cannot_be_adopted_is_killed_and_said)
{
    int i = place_service();
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    fake_kill_agent(f, SIGKILL);
    remove_dir("state");
    remove_dir("spare");
    f->registrations = 0;
    f->allocs[i].said = NULL;
    fake_start_agent(f);
    expect_killed_and_said(i);
}

Test(state, a_spare_copy_that_is_damaged_too_is_not_believed)
{
    int i = place_service();
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    note_node();
    fake_kill_agent(f, SIGKILL);
    remove_dir("state");
    const struct dirent *e;
    DIR *d = opendir(data_path("spare"));
    while ((e = readdir(d)) != NULL) {
        int fd = strncmp(e->d_name, "allocs-", 7) != 0
                     ? -1
                     : openat(dirfd(d), e->d_name, O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            cr_assert_eq(pwrite(fd, "\xff", 1, 40), 1);
            close(fd);
        }
    }
    closedir(d);
    f->registrations = 0;
    f->allocs[i].said = NULL;
    fake_start_agent(f);
    expect_killed_and_said(i);
    expect_same_node();
    expect_said("unreadable=1");
}

static bool agent_has_ended(struct fake *w)
{
    int status;
    if (waitpid(w->agent, &status, WNOHANG) != w->agent)
        return false;
    w->agent = 0;
    return true;
}

static void damage_while_it_runs(void (*damage)(void), const char *said)
{
    int i = place_service(), k = -1;
    bool ended = false;
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    note_node();
    /* More than once: what the agent is just writing may mend it. */
    for (int tries = 0; tries < 10 && !ended; tries++) {
        damage();
        fake_tell(f, i);
        if (k < 0)
            k = fake_place(f, fake_job(f, "batch", "raw_exec", SH("exit 0")));
        ended = fake_until(f, agent_has_ended, WAIT_MS / 10);
    }
    cr_assert(ended, "%s", agent_log());
    expect_said(said);
    fake_start_agent(f);
    cr_assert(fake_await(f, k, COMPLETE, WAIT_MS), "%s", agent_log());
    expect_same_node();
    expect_kept(i);
}

Test(state, an_agent_whose_state_is_cut_under_it_says_so_and_the_next_goes_on)
{
    damage_while_it_runs(empty_it, "event=local_state_unreadable");
}

Test(state, an_agent_whose_state_is_overwritten_under_it_says_so_and_the_next_goes_on)
{
    damage_while_it_runs(change_an_event, "event=local_state_not_written");
}

Test(state, two_states_that_were_put_aside_are_kept)
{
    int i = place_service();
    cr_assert(fake_await(f, i, RUNNING, WAIT_MS));
    for (int round = 0; round < 4; round++) {
        fake_kill_agent(f, SIGKILL);
        overwrite_its_head();
        f->registrations = 1;
        fake_start_agent(f);
        cr_assert(fake_until(f, is_registered_again, WAIT_MS), "%s", agent_log());
    }
    cr_expect_eq(count_aside(), 2);
    expect_kept(i);
}
