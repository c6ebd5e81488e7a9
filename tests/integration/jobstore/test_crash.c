/* jobstore as a process: killed at any point, on a machine that stopped, on a full disk. */
#include "logstore.h"
#include "store_process.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define METHOD(name) PB__JOBSTORE__METHOD__##name

static struct store_process *p;

static void begin(void)
{
    p = store_process_new();
}

static void end(void)
{
    store_process_kill(p, SIGKILL);
    umount2(p->data, MNT_DETACH); /* of the test with a small disk */
    store_process_free(p);
}

TestSuite(crash, .init = begin, .fini = end, .timeout = 120);

/* Kills after a while, from a process of its own. */
static void kill_later(pid_t victim, unsigned after_ms)
{
    char command[96];
    snprintf(command, sizeof command, "(sleep %u.%03u; kill -9 %d) &", after_ms / 1000,
             after_ms % 1000, (int)victim);
    cr_assert_eq(system(command), 0);
}

Test(crash, kill_9_at_any_moment_loses_nothing_acknowledged)
{
    struct load *l = load_new(p, 32);
    p->extra[0] = "--log-size";
    p->extra[1] = "100KiB"; /* checkpoints and cuts all the time */
    for (unsigned round = 0; round < 8; round++) {
        cr_assert(store_process_start(p, NULL));
        load_check(l);
        kill_later(p->pid, 60 + round * 37);
        load_run(l, 5000);
        store_process_wait(p);
    }
    cr_assert(store_process_start(p, NULL));
    size_t n = load_check(l);
    cr_assert_gt(n, 100);
    load_free(l);
}

Test(crash, dying_at_each_step_loses_nothing_acknowledged)
{
    static const char *const faults[] = {
        "log.before_commit=die:9", "log.after_commit=die:9",   "state.committed=die:9",
        "checkpoint.copied=die:2", "checkpoint.renamed=die:2", "compact.slice=die:2",
        "log.before_commit=die:1", "checkpoint.renamed=die:1",
    };
    struct load *l = load_new(p, 16);
    p->extra[0] = "--log-size";
    p->extra[1] = "100KiB";
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        int status = 0;
        store_process_start(p, faults[i]);
        /* A single refusal ends a load; the fault may then lie before it yet. */
        for (int tries = 0; tries < 5 && !store_process_ended(p, 500, &status); tries++)
            load_run(l, 20000);
        cr_assert(store_process_ended(p, 2000, &status), "%s did not happen", faults[i]);
        cr_assert(store_process_start(p, NULL), "after %s", faults[i]);
        load_check(l);
        store_process_kill(p, SIGTERM);
    }
    load_free(l);
}

/* What a machine that lost its power leaves: another boot, and a state of any kind. */
static void pretend_reboot(const char *state_text)
{
    struct reason why;
    struct logstore *log;
    char path[256];
    snprintf(path, sizeof path, "%s/raft", p->data);
    cr_assert_eq(logstore_open(&log, path, 0, false, &why), OK);
    cr_assert_eq(logstore_set_fact(log, "boot", "another", &why), OK);
    cr_assert_eq(logstore_set_fact(log, "clean", "no", &why), OK);
    logstore_close(log);
    snprintf(path, sizeof path, "%s/state/data.mdb", p->data);
    int fd = open(path, O_WRONLY | O_TRUNC);
    cr_assert_eq(write(fd, state_text, strlen(state_text)), (ssize_t)strlen(state_text));
    close(fd);
}

Test(crash, a_state_lost_with_the_power_is_built_again_from_the_log)
{
    struct load *l = load_new(p, 16);
    cr_assert(store_process_start(p, NULL));
    load_run(l, 300);
    store_process_kill(p, SIGKILL);
    pretend_reboot("this is no database");
    cr_assert(store_process_start(p, NULL));
    cr_assert_gt(load_check(l), 10);
    load_free(l);
}

/* However slow the machine is: until a checkpoint was made and the log cut. */
static void load_until_cut(struct load *l)
{
    for (unsigned i = 0; i < 40; i++) {
        load_run(l, 500);
        struct response r =
            store_ask(p, METHOD(STATUS), NULL, &pb__jobstore_status__descriptor, 5000, NULL);
        cr_assert_eq(r.code, PB__REPLY__CODE__OK, "%s", r.reason);
        if (((const Pb__JobstoreStatus *)r.body)->first_log_index > 1)
            return;
    }
    cr_assert_fail("the log is never cut");
}

Test(crash, a_state_lost_with_the_power_is_built_again_from_a_checkpoint_and_the_log)
{
    struct load *l = load_new(p, 16);
    p->extra[0] = "--log-size";
    p->extra[1] = "100KiB";
    cr_assert(store_process_start(p, NULL));
    load_until_cut(l);
    store_process_kill(p, SIGKILL);
    pretend_reboot("");
    cr_assert(store_process_start(p, NULL));
    cr_assert_gt(load_check(l), 10);
    load_free(l);
}

Test(crash, without_any_checkpoint_that_can_be_read_it_refuses_to_begin_anew)
{
    char command[300];
    struct load *l = load_new(p, 16);
    p->extra[0] = "--log-size";
    p->extra[1] = "100KiB";
    cr_assert(store_process_start(p, NULL));
    load_until_cut(l);
    store_process_kill(p, SIGKILL);
    pretend_reboot("");
    snprintf(command, sizeof command, "rm %s/checkpoint-*", p->data);
    cr_assert_eq(system(command), 0);
    cr_assert_not(store_process_start(p, NULL));
    load_free(l);
}

Test(crash, a_clean_end_is_trusted_after_a_reboot)
{
    cr_assert(store_process_start(p, NULL));
    store_register(p, "web", 1, NULL);
    store_process_kill(p, SIGTERM);
    struct reason why;
    struct logstore *log;
    char path[256], clean[8];
    snprintf(path, sizeof path, "%s/raft", p->data);
    cr_assert_eq(logstore_open(&log, path, 0, false, &why), OK);
    cr_assert(logstore_fact(log, "clean", clean, sizeof clean));
    cr_assert_str_eq(clean, "yes");
    logstore_set_fact(log, "boot", "another", &why);
    logstore_close(log);
    cr_assert(store_process_start(p, NULL));
    cr_assert(store_has_job(p, "web", NULL));
}

Test(crash, a_damaged_entry_of_the_log_is_found)
{
    struct reason why;
    struct logstore *log;
    char path[256];
    cr_assert(store_process_start(p, NULL));
    store_register(p, "web", 1, NULL);
    store_process_kill(p, SIGKILL);
    pretend_reboot(""); /* so that the whole log is read */
    snprintf(path, sizeof path, "%s/raft", p->data);
    cr_assert_eq(logstore_open(&log, path, 0, false, &why), OK);
    struct txn *t = txn_write(logstore_store(log));
    uint8_t key[8];
    struct bytes value;
    u64_store_be(key, 2);
    cr_assert(txn_get(t, 0, bytes_of(key, 8), &value));
    uint8_t *damaged = xmalloc(value.len);
    memcpy(damaged, value.data, value.len);
    damaged[value.len - 1] ^= 1;
    txn_put(t, 0, bytes_of(key, 8), bytes_of(damaged, value.len));
    cr_assert_eq(txn_commit(t, &why), OK);
    free(damaged);
    logstore_close(log);
    cr_assert_not(store_process_start(p, NULL));
}

Test(crash, a_repeated_request_gets_the_first_answer_after_a_crash_too)
{
    uint8_t id[16] = {1, 2, 3, 4};
    cr_assert(store_process_start(p, NULL));
    struct response first = store_register(p, "web", 1, id);
    cr_assert_eq(first.code, PB__REPLY__CODE__OK);
    store_process_kill(p, SIGKILL);
    cr_assert(store_process_start(p, NULL));
    struct response second = store_register(p, "web", 1, id);
    cr_assert(wire_equal(first.body, second.body));
}

Test(crash, two_processes_do_not_share_a_directory)
{
    cr_assert(store_process_start(p, NULL));
    pid_t first = p->pid;
    char addr[128];
    memcpy(addr, p->addr, sizeof addr);
    strcat(p->addr, "2");
    strcat(p->poll_addr, "2");
    store_process_spawn(p, NULL);
    int status = store_process_wait(p);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    memcpy(p->addr, addr, sizeof addr);
    p->pid = first;
    cr_assert_eq(store_register(p, "web", 1, NULL).code, PB__REPLY__CODE__OK);
}

/* ---- a full disk */

static bool mount_small(void)
{
    cr_assert_eq(mkdir(p->data, 0750), 0);
    return mount("tmpfs", p->data, "tmpfs", 0, "size=12m,mode=0750") == 0;
}

static void fill_disk(bool full)
{
    char path[256], command[320];
    snprintf(path, sizeof path, "%s/filler", p->data);
    if (!full) {
        unlink(path);
        return;
    }
    snprintf(command, sizeof command, "dd if=/dev/zero of=%s bs=64k >/dev/null 2>&1", path);
    cr_assert_neq(system(command), 0);
}

static void expect_write(Pb__Reply__Code code, const char *job)
{
    for (unsigned i = 0; i < 400; i++) {
        struct response r = store_register(p, job, 1, NULL);
        if (r.code == code) {
            if (code != PB__REPLY__CODE__OK)
                cr_assert_not_null(strstr(r.reason, "disk full"), "%s", r.reason);
            return;
        }
        usleep(10000);
    }
    cr_assert_fail("no such answer came");
}

Test(crash, a_full_disk_refuses_writes_answers_reads_and_heals)
{
    if (geteuid() != 0)
        cr_skip_test("needs root for a small disk of its own");
    if (!mount_small())
        cr_skip_test("no tmpfs may be mounted here");
    cr_assert(store_process_start(p, NULL));
    expect_write(PB__REPLY__CODE__OK, "before");
    fill_disk(true);
    expect_write(PB__REPLY__CODE__UNAVAILABLE, "during");
    struct response r =
        store_ask(p, METHOD(STATUS), NULL, &pb__jobstore_status__descriptor, 1000, NULL);
    cr_assert_not_null(strstr(((const Pb__JobstoreStatus *)r.body)->write_refused, "disk full"));
    cr_assert(store_has_job(p, "before", NULL));
    cr_assert_not(store_has_job(p, "during", NULL));
    fill_disk(false);
    expect_write(PB__REPLY__CODE__OK, "after");
    cr_assert(store_has_job(p, "after", NULL));
    cr_assert_not(store_has_job(p, "during", NULL));
    store_process_kill(p, SIGTERM);
    cr_assert(store_process_start(p, NULL));
    cr_assert(store_has_job(p, "after", NULL));
    store_process_kill(p, SIGTERM);
}

Test(crash, a_log_that_finds_no_room_is_refused_and_heals)
{
    uint64_t version = 0;
    cr_assert(store_process_start(p, "log.commit=fail:6"));
    for (int i = 1; i < 6; i++)
        store_register(p, "web", (uint32_t)i, NULL);
    struct response r = store_register(p, "other", 1, NULL);
    cr_assert_eq(r.code, PB__REPLY__CODE__UNAVAILABLE);
    cr_assert_not_null(strstr(r.reason, "disk full"));
    cr_assert(store_has_job(p, "web", &version));
    store_process_kill(p, SIGTERM);
    cr_assert(store_process_start(p, NULL));
    cr_assert(store_has_job(p, "web", NULL));
    cr_assert_not(store_has_job(p, "other", NULL));
    cr_assert_eq(store_register(p, "other", 1, NULL).code, PB__REPLY__CODE__OK);
}
