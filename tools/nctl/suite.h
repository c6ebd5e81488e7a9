/* A set of daemons run by this process: started together, restarted when one dies, stopped in
 * order. Each is a child that is killed by the kernel if this process dies first. Not thread-safe;
 * one suite per process, since it owns SIGCHLD, SIGINT, SIGTERM and SIGHUP. */
#ifndef NCTL_SUITE_H
#define NCTL_SUITE_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SUITE_MAX_MEMBERS 128

struct member {
    char label[32];   /* "schedworker-1": of its log file */
    char *argv[16];   /* argv[0] is the program's path; ends with NULL */
    int stop_stage;   /* those of stage 0 are stopped first, and so on */
    uint64_t stop_ms; /* how long it may take to end after TERM, before KILL */
    pid_t pid;        /* 0: not running */
    uint64_t started_ms;
    uint64_t restart_at_ms; /* 0: not waiting for a restart */
    uint64_t backoff_ms;
    unsigned restarts;
    bool given_up; /* exited 2: starting it again would not help */
};

struct suite {
    struct member members[SUITE_MAX_MEMBERS];
    int count;
    int signal_fd;
    const char *log_dir;
    const char *state_path; /* "label pid" per line, kept up to date */
    bool announce;          /* say on stdout when a member is restarted */
};

/* Blocks the signals and prepares to hear them. */
void suite_init(struct suite *s, const char *log_dir, const char *state_path);
/* A new member, not started. argv's strings are copied. */
struct member *suite_add(struct suite *s, const char *label, int stop_stage, uint64_t stop_ms,
                         const char *const *argv);
enum err suite_start(struct suite *s, struct reason *why);

enum suite_event { SUITE_NOTHING, SUITE_STOP_ASKED, SUITE_MEMBER_GONE };
/* Waits at most wait_ms for something to do, and does it: buries the dead, starts them again when
 * their time has come. SUITE_MEMBER_GONE: *gone has given up. */
enum suite_event suite_step(struct suite *s, int wait_ms, struct member **gone);
/* TERM, and KILL after the deadline, stage by stage. A further TERM or INT to us meanwhile skips to
 * KILL. */
void suite_stop(struct suite *s);

/* The last lines of the member's log, for a message; "" if there are none. */
void suite_log_tail(const struct suite *s, const struct member *m, char *out, size_t size);

#endif
