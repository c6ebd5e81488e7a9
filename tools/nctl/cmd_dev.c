/* nctl dev: the whole suite on this machine, each daemon a process of its own, until Ctrl-C. */
#include "command.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "dev_config.h"
#include "leftover.h"
#include "suite.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define THROWAWAY "/tmp/norn-dev-"

enum {
    READY_TIMEOUT_MS = 30000,
    MAX_CLIENTS = 32,
    MAX_WORKERS = 64,
    MAX_RUN_PATH = 80, /* a socket's address holds 107 bytes, and names follow */
    TASK_KILL_MS = 2000,
    FREE_PORT_LOW = 10000, /* below those that tasks and the kernel give away */
    FREE_PORTS = 10000,
    FREE_PORT_TRIES = 100,
};

struct dev {
    char data_dir[PATH_MAX - 64];
    char log_dir[PATH_MAX];
    char agents_config[PATH_MAX];
    char state[PATH_MAX];
    bool throwaway;
    int lock_fd;
    int port;             /* of the first server's HTTP */
    int workers, clients; /* workers: on each server */
    struct dev_layout layout;
    uint64_t begun_ms;
    struct suite suite;
};

/* ---- where things are */

/* Beside nctl, or where a build tree or an installation has it. */
static enum err program_find(const char *name, char out[PATH_MAX], struct reason *why)
{
    static const char *const places[] = {"%s/%s", "%s/../libexec/norn/%s", "%s/../lib/norn/%s"};
    char own[PATH_MAX], path[2 * PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n <= 0)
        return reason_errno(why, ERR_IO, "cannot tell where nctl lies");
    own[n] = '\0';
    *strrchr(own, '/') = '\0';
    for (size_t i = 0; i < COUNT_OF(places) + 1; i++) {
        if (i < COUNT_OF(places))
            snprintf(path, sizeof path, places[i], own, name); /* NOLINT: from the table above */
        else
            snprintf(path, sizeof path, "%s/../../services/%s/%s", own, name, name);
        if (access(path, X_OK) == 0 && realpath(path, out) != NULL)
            return OK;
    }
    return reason_set(why, ERR_NOT_FOUND,
                      "the program %s is not beside nctl in %s: build it, or install it there",
                      name, own);
}

static enum err make_dir(const char *path, mode_t mode, struct reason *why)
{
    if (mkdir(path, mode) != 0 && errno != EEXIST)
        return reason_errno(why, ERR_IO, "cannot make the directory %s", path);
    return OK;
}

/* One suite per data directory. The lock ends with this process, however that ends. */
static enum err lock_take(struct dev *d, struct reason *why)
{
    char path[PATH_MAX], pid[32] = "";
    snprintf(path, sizeof path, "%s/dev.lock", d->data_dir);
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (d->lock_fd < 0)
        return reason_errno(why, ERR_IO, "cannot open %s", path);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(d->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        pid[strcspn(pid, "\n")] = '\0';
        return reason_set(why, ERR_BUSY,
                          "the data directory %s is in use by another suite (process %s): stop it, "
                          "or give another --data-dir",
                          d->data_dir, pid);
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(d->lock_fd, 0) != 0 || pwrite(d->lock_fd, pid, (size_t)n, 0) != n)
        return reason_errno(why, ERR_IO, "cannot write %s", path);
    return OK;
}

static enum err data_dir_open(struct dev *d, const char *given, struct reason *why)
{
    char made[] = THROWAWAY "XXXXXX";
    enum err e;
    d->throwaway = given == NULL;
    if (given == NULL && (given = mkdtemp(made)) == NULL)
        return reason_errno(why, ERR_IO, "cannot make a directory in /tmp");
    /* Tasks of other users go through it to their own directories; what is private lies deeper. */
    if ((e = make_dir(given, 0711, why)) != OK)
        return e;
    if (d->throwaway && chmod(given, 0711) != 0)
        return reason_errno(why, ERR_IO, "cannot open %s to tasks of other users", given);
    char full[PATH_MAX];
    if (realpath(given, full) == NULL || strlen(full) >= sizeof d->data_dir)
        return reason_errno(why, ERR_IO, "cannot use the directory %s", given);
    memcpy(d->data_dir, full, strlen(full) + 1);
    return lock_take(d, why);
}

static enum err run_dir_open(struct dev_server *s, struct reason *why)
{
    snprintf(s->run_dir, sizeof s->run_dir, "%.*s/run", PATH_MAX - 8, s->data_dir);
    if (strlen(s->run_dir) <= MAX_RUN_PATH)
        return make_dir(s->run_dir, 0750, why);
    snprintf(s->run_dir, sizeof s->run_dir, "/tmp/norn-run-XXXXXX");
    if (mkdtemp(s->run_dir) == NULL)
        return reason_errno(why, ERR_IO, "cannot make a directory for sockets in /tmp");
    s->own_run_dir = true;
    return OK;
}

/* One server's files lie in the data directory itself, those of several below it. */
static enum err server_open(struct dev *d, int i, struct reason *why)
{
    struct dev_server *s = &d->layout.servers[i];
    enum err e = OK;
    if (d->layout.count == 1) {
        snprintf(s->data_dir, sizeof s->data_dir, "%s", d->data_dir);
    } else {
        snprintf(s->data_dir, sizeof s->data_dir, "%s/server-%d", d->data_dir, i + 1);
        e = make_dir(s->data_dir, 0750, why);
    }
    snprintf(s->config, sizeof s->config, "%s/dev.conf", s->data_dir);
    s->port = d->port + i * DEV_PORTS_APART;
    return e == OK ? run_dir_open(s, why) : e;
}

static enum err paths_open(struct dev *d, struct reason *why)
{
    snprintf(d->agents_config, sizeof d->agents_config, "%s/agents.conf", d->data_dir);
    snprintf(d->state, sizeof d->state, "%s/dev.state", d->data_dir);
    snprintf(d->log_dir, sizeof d->log_dir, "%s/log", d->data_dir);
    enum err e = make_dir(d->log_dir, 0750, why);
    for (int i = 0; e == OK && i < d->layout.count; i++)
        e = server_open(d, i, why);
    return e;
}

static enum err configs_write(struct dev *d, struct reason *why)
{
    enum err e = OK;
    for (int i = 0; e == OK && i < d->layout.count; i++)
        e = dev_config_write(&d->layout, i, why);
    if (e == OK && d->layout.many)
        e = dev_config_write_agents(&d->layout, d->agents_config, why);
    return e;
}

/* A suite without a data directory that was killed could not clean up: whoever comes next does. */
static void sweep_throwaways(void)
{
    DIR *tmp = opendir("/tmp");
    struct dirent *entry;
    while (tmp != NULL && (entry = readdir(tmp)) != NULL) {
        char dir[PATH_MAX], lock[PATH_MAX + 16];
        struct stat st;
        snprintf(dir, sizeof dir, "/tmp/%s", entry->d_name);
        if (strncmp(dir, THROWAWAY, strlen(THROWAWAY)) != 0 || lstat(dir, &st) != 0 ||
            !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
            continue;
        snprintf(lock, sizeof lock, "%s/dev.lock", dir);
        int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue; /* just being made */
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            leftover_stop_tasks(dir, 0);
            leftover_remove(dir);
        }
        close(fd);
    }
    if (tmp != NULL)
        closedir(tmp);
}

/* ---- HTTP, as much as it takes to know that the suite is ready */

static struct sockaddr_in http_address(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static enum err port_check(int port, struct reason *why)
{
    struct sockaddr_in a = http_address(port);
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum err e = OK;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0) {
        if (errno == EADDRINUSE)
            e = reason_set(why, ERR_BUSY,
                           "port %d on 127.0.0.1 is in use: stop what listens there, or give "
                           "another --http-port",
                           port);
        else
            e = reason_errno(why, ERR_IO, "cannot listen on 127.0.0.1:%d", port);
    }
    if (fd >= 0)
        close(fd);
    return e;
}

/* All that the suite listens on: HTTP alone, or four ports of each server. */
static enum err ports_check(const struct dev *d, struct reason *why)
{
    enum err e = OK;
    for (int i = 0; e == OK && i < d->layout.count; i++)
        for (int k = 0; e == OK && k < (d->layout.many ? 4 : 1); k++)
            e = port_check(d->port + i * DEV_PORTS_APART + k, why);
    return e;
}

static enum err ports_choose(struct dev *d, struct reason *why)
{
    uint32_t chance;
    enum err e = ERR_BUSY;
    for (int i = 0; i < FREE_PORT_TRIES && e == ERR_BUSY; i++) {
        must(getrandom(&chance, sizeof chance, 0) == sizeof chance);
        d->port = FREE_PORT_LOW + (int)(chance % FREE_PORTS);
        e = ports_check(d, why);
    }
    return e;
}

/* GET path; true if the answer is a 200, with what follows the headers in *body. */
static bool http_get(int port, const char *path, struct strbuf *body)
{
    struct sockaddr_in a = http_address(port);
    struct timeval patience = {.tv_sec = 2};
    char buffer[4096];
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    strbuf_clear(body);
    int len = snprintf(buffer, sizeof buffer,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        send(fd, buffer, (size_t)len, MSG_NOSIGNAL) == len)
        while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
            strbuf_add(body, buffer, (size_t)n);
    close(fd);
    return strncmp(strbuf_text(body), "HTTP/1.1 200", 12) == 0;
}

static int ready_nodes(int port)
{
    static const char mark[] = "\"Status\":\"ready\"";
    struct strbuf body = STRBUF_INIT;
    int count = -1;
    if (http_get(port, "/v1/nodes", &body)) {
        count = 0;
        for (const char *at = strbuf_text(&body); (at = strstr(at, mark)) != NULL; at++)
            count++;
    }
    strbuf_free(&body);
    return count;
}

/* ---- the suite */

static enum err member_add(struct dev *d, const struct dev_program *p, const char *label,
                           const char *config, const char *const *extra, struct reason *why)
{
    char path[PATH_MAX];
    enum err e = program_find(p->name, path, why);
    if (e != OK)
        return e;
    const char *argv[12] = {path, "--config", config};
    size_t n = 3;
    for (; extra != NULL && *extra != NULL; extra++)
        argv[n++] = *extra;
    suite_add(&d->suite, label, p->stop_stage, p->stop_ms, argv);
    return OK;
}

static enum err nodeagent_add(struct dev *d, const struct dev_program *p, int i, struct reason *why)
{
    char label[32], dir[PATH_MAX + 32], name[300], host[256] = "localhost", bridge[32], subnet[32];
    gethostname(host, sizeof host - 1);
    snprintf(label, sizeof label, "nodeagent-%d", i);
    snprintf(dir, sizeof dir, "%s/client-%d", d->data_dir, i);
    snprintf(name, sizeof name, i == 0 ? "%s" : "%s-%d", host, i);
    enum err e = make_dir(dir, 0750, why);
    if (e != OK)
        return e;
    snprintf(bridge, sizeof bridge, "norn%d", i);
    snprintf(subnet, sizeof subnet, "172.27.%d.0/24", i % 256);
    const char *const extra[] = {"--data-dir", dir, "--name", name,
                                 /* of all but the first: no two agents share a bridge */
                                 i == 0 ? NULL : "--bridge-network-name", bridge,
                                 "--bridge-network-subnet", subnet, NULL};
    return member_add(d, p, label, d->layout.many ? d->agents_config : d->layout.servers[0].config,
                      extra, why);
}

/* "gateway", "schedworker-0"; of several servers "s2-gateway", "s2-schedworker-0". */
static void label_make(const struct dev *d, const struct dev_program *p, int server, int k,
                       char out[32])
{
    char prefix[8] = "", suffix[8] = "";
    if (d->layout.count > 1)
        snprintf(prefix, sizeof prefix, "s%d-", (server + 1) % 10);
    if (strcmp(p->name, "schedworker") == 0)
        snprintf(suffix, sizeof suffix, "-%d", k % 1000);
    snprintf(out, 32, "%s%s%s", prefix, p->name, suffix);
}

static enum err server_add(struct dev *d, int server, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < dev_program_count; i++) {
        const struct dev_program *p = &dev_programs[i];
        bool agent = p->stop_stage == DEV_STAGE_AGENTS;
        bool worker = strcmp(p->name, "schedworker") == 0;
        int count = agent ? 0 : worker ? d->workers : 1;
        for (int k = 0; e == OK && k < count; k++) {
            char label[32];
            static const char *const rests[] = {"--idle-beside-leader", "true", NULL};
            bool last = worker && d->layout.many && count > 1 && k == count - 1;
            label_make(d, p, server, k, label);
            e = member_add(d, p, label, d->layout.servers[server].config, last ? rests : NULL, why);
        }
    }
    return e;
}

static enum err members_add(struct dev *d, struct reason *why)
{
    enum err e = OK;
    for (int i = 0; e == OK && i < d->layout.count; i++)
        e = server_add(d, i, why);
    const struct dev_program *agent = &dev_programs[dev_program_count - 1];
    for (int k = 0; e == OK && k < d->clients; k++)
        e = nodeagent_add(d, agent, k, why);
    return e;
}

static enum err gone_reason(const struct dev *d, const struct member *m, struct reason *why)
{
    char tail[400];
    suite_log_tail(&d->suite, m, tail, sizeof tail);
    return reason_set(why, ERR_UNAVAILABLE, "%s cannot run:\n%s", m->label, tail);
}

/* Whether each knows a leader. */
static bool servers_answer(const struct dev *d)
{
    struct strbuf body = STRBUF_INIT;
    bool all = true;
    for (int i = 1; all && i < d->layout.count; i++)
        all = http_get(d->layout.servers[i].port, "/v1/status/leader", &body);
    strbuf_free(&body);
    return all;
}

static enum err await_ready(struct dev *d, bool *stop, struct reason *why)
{
    uint64_t deadline_ms = d->begun_ms + READY_TIMEOUT_MS;
    for (;;) {
        struct member *gone;
        enum suite_event event = suite_step(&d->suite, 2, &gone);
        if (event == SUITE_MEMBER_GONE)
            return gone_reason(d, gone, why);
        *stop = event == SUITE_STOP_ASKED;
        int nodes = *stop || !servers_answer(d) ? -1 : ready_nodes(d->port);
        if (*stop || nodes >= d->clients)
            return OK;
        if (clock_monotonic_ms() > deadline_ms)
            return reason_set(why, ERR_TIMEOUT, "not ready after %d s (%s); the logs are in %s",
                              READY_TIMEOUT_MS / 1000,
                              nodes < 0 ? "HTTP does not answer" : "nodes are missing", d->log_dir);
    }
}

static void print_table(const struct dev *d)
{
    uint64_t took_ms = clock_monotonic_ms() - d->begun_ms;
    printf("Norn %s in dev mode\n", NORN_VERSION);
    for (int i = 0; i < d->layout.count; i++)
        printf("  %-6s http://127.0.0.1:%d\n", i == 0 ? "HTTP" : "", d->layout.servers[i].port);
    if (d->layout.many) {
        struct strbuf join = STRBUF_INIT;
        dev_server_describe(&d->layout, 0, &join);
        printf("  region %s; another suite joins by -join %s\n", d->layout.region,
               strbuf_text(&join));
        strbuf_free(&join);
    }
    printf("  data   %s%s\n", d->data_dir, d->throwaway ? " (removed at the end)" : "");
    printf("  logs   %s/\n\n", d->log_dir);
    printf("  %-16s %s\n", "process", "pid");
    for (int i = 0; i < d->suite.count; i++)
        printf("  %-16s %ld\n", d->suite.members[i].label, (long)d->suite.members[i].pid);
    printf("\nready in %.2f s: %d node%s\n", (double)took_ms / 1000, d->clients,
           d->clients == 1 ? "" : "s");
    if (d->port != 4646)
        printf("In another terminal: export NORN_ADDR=http://127.0.0.1:%d\n", d->port);
    printf("Next: nctl submit FILE, nctl status, nctl node status. Ctrl-C stops the suite.\n");
    fflush(stdout);
}

static void run_until_stopped(struct dev *d)
{
    struct member *gone;
    enum suite_event event;
    d->suite.announce = true;
    while ((event = suite_step(&d->suite, -1, &gone)) != SUITE_STOP_ASKED) {
        if (event == SUITE_MEMBER_GONE) {
            struct reason why;
            gone_reason(d, gone, &why);
            fprintf(stderr, "nctl dev: %s\nIt is not started again, since that would not help.\n",
                    why.text);
        }
    }
}

static void finish(struct dev *d)
{
    uint64_t from_ms = clock_monotonic_ms();
    suite_stop(&d->suite);
    for (int i = 0; i < d->layout.count; i++)
        if (d->layout.servers[i].own_run_dir)
            leftover_remove(d->layout.servers[i].run_dir);
    if (d->throwaway) {
        leftover_stop_tasks(d->data_dir, TASK_KILL_MS);
        leftover_remove(d->data_dir);
        printf("stopped in %.2f s; %s is removed\n",
               (double)(clock_monotonic_ms() - from_ms) / 1000, d->data_dir);
        return;
    }
    int tasks = leftover_count_tasks(d->data_dir);
    printf("stopped in %.2f s; the state is kept in %s\n",
           (double)(clock_monotonic_ms() - from_ms) / 1000, d->data_dir);
    if (tasks > 0)
        printf("%d task%s still run%s and will be adopted at the next start with this "
               "--data-dir.\n",
               tasks, tasks == 1 ? "" : "s", tasks == 1 ? "s" : "");
}

/* Everything between the checks that need no clean-up and the end. */
static int dev_run(struct dev *d)
{
    struct reason why = {""};
    bool stop = false;
    enum err e = paths_open(d, &why);
    suite_init(&d->suite, d->log_dir, d->state);
    if (e == OK)
        e = configs_write(d, &why);
    if (e == OK)
        e = members_add(d, &why);
    if (e == OK)
        e = suite_start(&d->suite, &why);
    if (e == OK)
        e = await_ready(d, &stop, &why);
    if (e != OK) {
        fprintf(stderr, "nctl dev: %s\n", why.text);
        finish(d);
        return EXIT_ERROR;
    }
    if (!stop) {
        print_table(d);
        run_until_stopped(d);
    }
    finish(d);
    return EXIT_OK;
}

static bool in_range(const struct args *a, const char *name, long fallback, long low, long high,
                     int *out)
{
    long value = args_number(a, name, fallback);
    *out = (int)value;
    if (value >= low && value <= high)
        return true;
    fprintf(stderr, "nctl dev: -%s must be between %ld and %ld, not %ld\n", name, low, high, value);
    return false;
}

/* Several servers share this machine's cores; a server alone leaves them to what it runs. */
static long workers_default(int servers)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return servers > 1 && cores > servers ? cores / servers : 1;
}

static bool options_read(const struct args *a, struct dev *d)
{
    struct dev_layout *l = &d->layout;
    if (!in_range(a, "http-port", 4646, 0, 65535, &d->port) ||
        !in_range(a, "servers", 1, 1, DEV_MAX_SERVERS, &l->count) ||
        !in_range(a, "workers", workers_default(l->count), 1, MAX_WORKERS / l->count,
                  &d->workers) ||
        !in_range(a, "clients", 1, 0, MAX_CLIENTS, &d->clients))
        return false;
    if (l->count % 2 == 0) {
        fprintf(stderr,
                "nctl dev: -servers must be 1, 3 or 5, not %d: of an even number as many "
                "may be lost as of one fewer\n",
                l->count);
        return false;
    }
    l->region = args_text(a, "region", "global");
    l->join = args_text(a, "join", "");
    l->many = l->count > 1 || args_has(a, "region") || args_has(a, "join");
    return true;
}

static int run_dev(const struct args *a)
{
    struct dev *d = xcalloc(1, sizeof *d);
    struct reason why = {""};
    int code = EXIT_ERROR;
    d->begun_ms = clock_monotonic_ms();
    if (options_read(a, d)) {
        sweep_throwaways();
        if ((d->port == 0 ? ports_choose(d, &why) : ports_check(d, &why)) == OK &&
            data_dir_open(d, args_text(a, "data-dir", NULL), &why) == OK)
            code = dev_run(d);
        else
            fprintf(stderr, "nctl dev: %s\n", why.text);
    }
    free(d);
    return code;
}

static const struct flag dev_flags[] = {
    {"data-dir", FLAG_TEXT, "DIR",
     "keep the state here, and tasks running after the end; else all is thrown away"},
    {"http-port", FLAG_NUMBER, "PORT",
     "HTTP on 127.0.0.1 (4646); 0: a free port, which the output names"},
    {"servers", FLAG_NUMBER, "N",
     "servers: 1, 3 or 5 (1); each further one has the ports of the one before plus 10"},
    {"join", FLAG_TEXT, "SERVER", "a server of another suite, as that one's output names it"},
    {"workers", FLAG_NUMBER, "N",
     "schedulers of each server (1; of several servers, its share of the cores)"},
    {"clients", FLAG_NUMBER, "N", "node agents (1)"},
    FLAG_END,
};

const struct command commands_dev[] = {
    {"dev", NULL, "", "run the whole suite on this machine until Ctrl-C",
     "Starts jobstore, gossip, evalbroker, planqueue, schedworkers, controller, gateway and node "
     "agents,\neach a process of its own, and starts again one that dies. Two suites run side by "
     "side\nwith different --data-dir and --http-port, two regions with --region and --join. Which "
     "process is which stands in\n"
     "DIR/dev.state, what they say in DIR/log/.",
     dev_flags, 0, 0, run_dev},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
