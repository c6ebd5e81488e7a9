#include "daemon/daemon.h"
#include "base/clock.h"
#include "daemon/process.h"
#include "daemon/secure.h"
#include <errno.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
#define DRAIN_DEADLINE_MS 10000
#define CLOSE_DEADLINE_MS 1500
#define MOST_SETTINGS     100
#define TRIM_MS           5000
#define TRIM_FREE         (1u << 20) /* bytes of heap that nobody uses */

/* What every daemon takes beside its own settings. */
struct common {
    struct secure_settings secure; /* first: its settings are rows of ours */
    const char *log_level;
    const char *user;
    bool exit_with_parent;
};

static const struct setting common_settings[] = {
    SETTING(common, log_level, TEXT, "info", "debug, info, warn or error; read again on HUP"),
    SETTING(common, user, TEXT, "",
            "becomes this user once sockets and files are open; needs root"),
    SETTING(common, exit_with_parent, BOOL, "false", "ends with the process that started it"),
    SECURE_SETTINGS,
    SETTING_END,
};

struct running {
    struct process process;
    struct common common;
    struct secure secure;
    struct setting table[MOST_SETTINGS]; /* the service's settings, then the common ones */
    int argc;
    char **argv;
    struct watch *signals;
    int signal_fd;
    struct timer drain_deadline, trim;
    bool draining;
};

static const struct process *only;

const struct process *process_current(void)
{
    return only;
}

/* ---- settings: one table for both structs, whose fields lie in one block: common, then the
 * service's */

static void join_tables(struct running *r)
{
    size_t count = 0;
    for (const struct setting *s = common_settings; s->name != NULL; s++)
        r->table[count++] = *s;
    for (const struct setting *s = r->process.service->settings; s->name != NULL; s++) {
        must(count < MOST_SETTINGS - 1);
        r->table[count] = *s;
        r->table[count++].offset += sizeof(struct common);
    }
}

static enum err load(struct running *r, struct reason *why)
{
    size_t size = r->process.service->size;
    char *block = xcalloc(1, sizeof(struct common) + size);
    enum err e = settings_load(r->table, r->process.service->name, block, r->argc, r->argv, why);
    enum log_level level;
    if (e == OK) {
        memcpy(&r->common, block, sizeof(struct common));
        memcpy(r->process.self, block + sizeof(struct common), size);
        if (!log_level_parse(r->common.log_level, &level))
            e = reason_set(why, ERR_INVALID,
                           "log_level is \"%s\"; it takes debug, info, warn or error",
                           r->common.log_level);
        else
            log_set_level(level);
    }
    free(block);
    return e;
}

static void print_help(const struct running *r)
{
    const struct service *s = r->process.service;
    printf("%s: %s\n\nUsage: %s [--config FILE] [options]\n\n"
           "Settings come from the group \"%s\" of the libconfig file FILE, then from the options; "
           "an option --a-b is the key a_b. --tls-a is the key a of the group \"tls\", which all "
           "daemons share.\n\n"
           "  --config FILE\n      the file\n  --check-config\n      says whether the settings are "
           "good, and ends\n"
           "  --help, --version\n\n",
           s->name, s->summary != NULL ? s->summary : "", s->name, s->name);
    settings_print_help(r->table, stdout);
    puts("\nExit codes: 0 asked to stop, 1 failed, 2 wrong usage or settings.\n"
         "Signals: TERM and INT drain, then end; HUP reads log_level and the files of the group "
         "tls again; USR1 logs a summary.");
}

/* Removes word from the arguments. */
static bool take_flag(struct running *r, const char *word)
{
    for (int i = 1; i < r->argc; i++)
        if (strcmp(r->argv[i], word) == 0) {
            memmove(&r->argv[i], &r->argv[i + 1], sizeof(char *) * (size_t)(r->argc - i));
            r->argc--;
            return true;
        }
    return false;
}

/* ---- signals */

static void end_loop(void *arg)
{
    struct running *r = arg;
    loop_stop(r->process.loop);
}

static uint64_t drain_limit_ms(const struct running *r)
{
    const struct process *p = &r->process;
    return p->service->drain_limit_ms == NULL ? DRAIN_DEADLINE_MS
                                              : p->service->drain_limit_ms(p->self);
}

static void on_drain_deadline(void *owner)
{
    log_warn("drain_cut", "after_ms=%llu", (unsigned long long)drain_limit_ms(owner));
    end_loop(owner);
}

static void on_term(struct running *r)
{
    const struct process *p = &r->process;
    bool again = r->draining;
    log_info(again ? "stopping_now" : "stopping", "%s", "");
    r->draining = true;
    if (again || p->service->drain == NULL) {
        end_loop(r);
        return;
    }
    timer_arm(p->loop, &r->drain_deadline, drain_limit_ms(r), on_drain_deadline, r);
    p->service->drain(p->self, end_loop, r);
}

static void on_hup(struct running *r)
{
    struct common fresh = {0};
    struct setting table[MOST_SETTINGS];
    struct reason why;
    enum log_level level;
    memcpy(table, r->table, sizeof(table));
    char *block = xcalloc(1, sizeof(struct common) + r->process.service->size);
    enum err e = settings_load(table, r->process.service->name, block, r->argc, r->argv, &why);
    if (e == OK)
        memcpy(&fresh, block, sizeof(fresh));
    free(block);
    if (e == OK && log_level_parse(fresh.log_level, &level)) {
        log_set_level(level);
        secure_reload(&r->secure, &fresh.secure);
        log_info("reloaded", "log_level=%s", fresh.log_level);
    } else {
        log_error("reload_refused", "why=%s", log_quote(e == OK ? "log_level is none" : why.text));
    }
}

static void on_signals(void *owner, int events)
{
    struct running *r = owner;
    struct signalfd_siginfo info;
    while (read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            on_term(r);
        else if (info.ssi_signo == SIGHUP)
            on_hup(r);
        else if (info.ssi_signo == SIGUSR1 && r->process.service->summary_log != NULL)
            r->process.service->summary_log(r->process.self);
    }
}

/* Before any thread exists: all inherit it. */
static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    must(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    must(fd >= 0);
    return fd;
}

/* ---- privileges and readiness */

static enum err become_user(const char *name, struct reason *why)
{
    if (name[0] == '\0')
        return OK;
    errno = 0;
    const struct passwd *pw = getpwnam(name);
    if (pw == NULL)
        return reason_set(why, ERR_INVALID, "there is no user \"%s\"", name);
    if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
        return reason_errno(why, ERR_DENIED, "become user %s", name);
    return OK;
}

/* sd_notify(3), protocol of systemd: a datagram to the socket that $NOTIFY_SOCKET names. */
static void tell_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(sun.sun_path))
        return;
    size_t len = strlen(path);
    memcpy(sun.sun_path, path, len);
    if (path[0] == '@')
        sun.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    static const char message[] = "READY=1";
    if (fd < 0 || sendto(fd, message, sizeof(message) - 1, 0, (struct sockaddr *)&sun,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        log_warn("notify_failed", "errno=%d", errno);
    if (fd >= 0)
        close(fd);
}

static void end_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it had ended before */
        _exit(EXIT_FAILED);
}

/* A connection is a file: a gateway with a thousand agents has more than shells allow at first. */
static void allow_many_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- main */

static void *end_anyway(void *arg)
{
    poll(NULL, 0, CLOSE_DEADLINE_MS);
    log_warn("close_cut", "after_ms=%d", CLOSE_DEADLINE_MS);
    _exit(EXIT_STOPPED);
    return arg;
}

/* nng 1.5.2 may never return from nng_close (its issue 1543). What must be on disk does not wait
 * for a close: it was written when it was promised. */
static void bound_close(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_anyway, NULL) == 0)
        pthread_detach(thread);
}

/* A fresh process is cured, and a daemon may be started again at any moment. */
static void on_bus_stuck(void *owner)
{
    log_error("bus_stuck", "why=%s", log_quote("nng cannot end connections any more"));
    fflush(NULL);
    _exit(EXIT_FAILED);
}

/* What a burst took lies free between what is still used: the kernel gets it back. */
static void trim(void *owner)
{
    struct running *r = owner;
    if (mallinfo2().fordblks > TRIM_FREE)
        malloc_trim(0);
    timer_arm(r->process.loop, &r->trim, TRIM_MS, trim, r);
}

static int run(struct running *r)
{
    const struct process *p = &r->process;
    struct reason why;
    r->signals = watch_open(p->loop, r->signal_fd, WATCH_READ, on_signals, r);
    enum err e = secure_open(&r->secure, p->loop, &r->common.secure, &why);
    if (e == OK && p->service->open != NULL)
        e = p->service->open(p->self, p->loop, &why);
    if (e == OK)
        e = become_user(r->common.user, &why);
    if (e == OK && p->service->start != NULL)
        e = p->service->start(p->self, p->loop, &why);
    if (e != OK) {
        log_error("failed", "why=%s", log_quote(why.text));
        return e == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    net_watch(p->loop, on_bus_stuck, NULL);
    timer_arm(p->loop, &r->trim, TRIM_MS, trim, r);
    tell_ready();
    log_info("ready", "pid=%d version=%s", getpid(), NORN_VERSION);
    loop_run(p->loop);
    bound_close();
    if (p->service->close != NULL)
        p->service->close(p->self);
    log_info("stopped", "%s", "");
    return EXIT_STOPPED;
}

/* At once: settings' texts live as long as the process, and nng 1.5.2 may crash or hang while it is
 * torn down. */
static _Noreturn void leave(int code)
{
    fflush(NULL);
    _exit(code);
}

int daemon_main(const struct service *s, int argc, char **argv)
{
    pid_t parent = getppid();
    mallopt(M_ARENA_MAX, 2); /* nng's many threads would each get an arena of their own */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_TRIM_THRESHOLD, 512 * 1024);
    log_init(s->name, LOG_INFO);

    struct running *r = xcalloc(1, sizeof(*r));
    r->process = (struct process){
        .service = s, .self = xcalloc(1, s->size), .started_ms = clock_monotonic_ms()};
    r->argc = argc;
    r->argv = argv;
    only = &r->process;
    join_tables(r);
    if (take_flag(r, "--help") || take_flag(r, "-h")) {
        print_help(r);
        leave(EXIT_STOPPED);
    }
    if (take_flag(r, "--version")) {
        printf("%s %s\n", s->name, NORN_VERSION);
        leave(EXIT_STOPPED);
    }
    bool check = take_flag(r, "--check-config");
    struct reason why;
    if (load(r, &why) != OK) {
        fprintf(stderr, "%s: %s\n", s->name, why.text);
        leave(EXIT_USAGE);
    }
    if (check) {
        printf("%s: the settings are good\n", s->name);
        leave(EXIT_STOPPED);
    }
    if (r->common.exit_with_parent)
        end_with_parent(parent);
    allow_many_files();
    r->signal_fd = block_signals();
    r->process.loop = loop_new();
    leave(run(r));
}
