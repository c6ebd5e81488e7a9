/* Every listener of a whole suite under abuse: connections that close at once, garbage, half a
 * header, lengths beyond any limit, requests of random bytes, and many that stay silent. All
 * daemons must go on answering, and be the same processes as before.
 *
 * NORN_ABUSE_SECONDS: how long (5); from 60 on, a thousand stay silent on each listener.
 * NORN_ABUSE_SEED: repeats a run. */
#include "base/clock.h"
#include "base/prng.h"
#include "net/net.h"
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_TARGETS 24
#define SILENT_MOST  1000
#define FLOOD_EACH   5 /* the listeners accept no faster than they can refuse */

extern char **environ;

struct target {
    char name[64];
    struct sockaddr_storage addr;
    socklen_t addr_len;
    bool is_bus;
    double uptime;
    int silent[SILENT_MOST];
};

static struct target targets[MOST_TARGETS];
static size_t target_count;
static char dir[64];
static unsigned http_port;
static pid_t suite;
static struct prng prng;
static uint64_t seed;
static size_t silent_each = 100;

static void end_suite(void)
{
    char command[128];
    if (suite > 0) {
        kill(suite, SIGTERM);
        waitpid(suite, NULL, 0);
    }
    suite = 0;
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", dir);
}

static void give_up(const char *what, const char *about)
{
    fprintf(stderr, "abuse: %s: %s (seed %llu)\n", what, about, (unsigned long long)seed);
    end_suite();
    exit(1);
}

/* ---- the suite */

static void start_suite(void)
{
    char data[96], log[96];
    strcpy(dir, "/tmp/norn-abuse-XXXXXX");
    if (mkdtemp(dir) == NULL)
        give_up("mkdtemp", dir);
    snprintf(data, sizeof(data), "%s/d", dir);
    snprintf(log, sizeof(log), "%s/log", dir);
    const char *argv[] = {BIN_DIR "/nctl", "dev", "-data-dir", data, "-http-port", "0", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_CREAT | O_WRONLY | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (posix_spawn(&suite, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ) != 0)
        give_up("spawn", argv[0]);
    posix_spawn_file_actions_destroy(&actions);
}

static Pb__Reply__Code ask(const struct target *t, uint32_t method,
                           const ProtobufCMessageDescriptor *reply, struct arena *a,
                           struct response *out)
{
    char addr[160];
    struct reason why;
    snprintf(addr, sizeof(addr), "ipc://%s", ((const struct sockaddr_un *)&t->addr)->sun_path);
    struct call_options o = {.method = method, .reply = reply, .budget_ms = 15000, .retry = true};
    if (net_call_wait(addr, &o, a, out, &why) != OK)
        give_up(t->name, why.text);
    return out->code;
}

/* Since when its process runs; only the sockets for short requests tell. */
static double uptime_of(const struct target *t)
{
    struct arena *a = arena_new(1 << 20);
    struct response r;
    double uptime = -1;
    if (ask(t, PB__DAEMON__METHOD__METRICS, &pb__metrics__descriptor, a, &r) ==
        PB__REPLY__CODE__OK) {
        const Pb__Metrics *m = (const Pb__Metrics *)r.body;
        for (size_t i = 0; i < m->n_metrics; i++)
            if (strcmp(m->metrics[i]->name, "process.uptime_seconds") == 0)
                uptime = m->metrics[i]->value;
    }
    arena_free(a);
    return uptime;
}

static void add_bus_target(const char *path, const char *name)
{
    struct target *t = &targets[target_count++];
    struct sockaddr_un *sun = (struct sockaddr_un *)&t->addr;
    snprintf(t->name, sizeof(t->name), "%.60s", name);
    sun->sun_family = AF_UNIX;
    snprintf(sun->sun_path, sizeof(sun->sun_path), "%.50s/%.50s", path, name);
    t->addr_len = sizeof(*sun);
    t->is_bus = true;
}

static void add_http_target(void)
{
    struct target *t = &targets[target_count++];
    struct sockaddr_in *in = (struct sockaddr_in *)&t->addr;
    strcpy(t->name, "http");
    t->uptime = -1;
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)http_port);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    t->addr_len = sizeof(*in);
}

/* The log of the suite tells when all listen, and where HTTP is. */
static void await_suite(void)
{
    char log[96], line[256];
    snprintf(log, sizeof(log), "%s/log", dir);
    FILE *f = fopen(log, "r");
    if (f == NULL)
        give_up("fopen", log);
    for (uint64_t until = clock_monotonic_ms() + 20000;;) {
        if (fgets(line, sizeof(line), f) == NULL) {
            if (clock_monotonic_ms() > until)
                give_up("the suite is not ready", log);
            clearerr(f);
            usleep(20000);
        } else if (strncmp(line, "ready ", 6) == 0) {
            break;
        } else {
            sscanf(line, "  HTTP   http://127.0.0.1:%u", &http_port);
        }
    }
    fclose(f);
}

static void find_targets(void)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/d/run", dir);
    DIR *d = opendir(path);
    struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL && target_count < MOST_TARGETS - 1)
        if (strstr(entry->d_name, ".sock") != NULL)
            add_bus_target(path, entry->d_name);
    if (d != NULL)
        closedir(d);
    if (target_count < 8)
        give_up("sockets are missing", path);
    for (size_t i = 0; i < target_count; i++)
        targets[i].uptime = uptime_of(&targets[i]);
    add_http_target();
}

/* ---- abuse */

static int connect_to(const struct target *t)
{
    int fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&t->addr, t->addr_len) != 0 && t->is_bus) {
        close(fd); /* EAGAIN: its backlog is full of us */
        return -1;
    }
    return fd;
}

static void say(int fd, const void *data, size_t len)
{
    if (send(fd, data, len, MSG_NOSIGNAL) < 0)
        return; /* it hung up first, rightly */
}

static size_t random_bytes(uint8_t *out, size_t most)
{
    size_t len = prng_below(&prng, most + 1);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)prng_next(&prng);
    return len;
}

/* A message as nng frames it on ipc: a type, the length, the id of a request, the body. */
static void say_request(int fd, const uint8_t *body, size_t len, uint64_t claimed_len)
{
    uint8_t frame[13 + 512] = {1};
    for (int i = 0; i < 8; i++)
        frame[1 + i] = (uint8_t)(claimed_len >> (56 - 8 * i));
    frame[9] = 0x80;
    frame[12] = 1;
    memcpy(frame + 13, body, len);
    say(fd, frame, 13 + len);
}

/* An envelope that is whole, with a body that is not. */
static size_t random_envelope(uint8_t out[512])
{
    uint8_t id[16], body[300];
    for (size_t i = 0; i < sizeof(id); i++)
        id[i] = (uint8_t)prng_next(&prng);
    Pb__Request r = PB__REQUEST__INIT;
    r.has_id = r.has_method = r.has_payload = 1;
    r.id = (ProtobufCBinaryData){.len = sizeof(id), .data = id};
    r.method = (uint32_t)prng_below(&prng, 30);
    r.payload = (ProtobufCBinaryData){.len = random_bytes(body, sizeof(body)), .data = body};
    return pb__request__pack(&r, out);
}

static void abuse_once(const struct target *t)
{
    static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    uint8_t bytes[512];
    int fd = connect_to(t);
    if (fd < 0)
        return;
    unsigned way = (unsigned)prng_below(&prng, 8);
    if (way == 1)
        say(fd, bytes, random_bytes(bytes, sizeof(bytes)));
    if (way == 2)
        say(fd, hello, prng_below(&prng, sizeof(hello)));
    if (way >= 3)
        say(fd, hello, sizeof(hello));
    if (way == 4)
        say_request(fd, bytes, 0, prng_below(&prng, 2) == 0 ? UINT64_MAX : 1u << 30);
    if (way == 5)
        say_request(fd, bytes, random_bytes(bytes, 100), 104);
    if (way >= 6) {
        size_t len = way == 6 ? random_envelope(bytes) : random_bytes(bytes, sizeof(bytes));
        say_request(fd, bytes, len, len + 4);
    }
    if (prng_below(&prng, 4) == 0)
        usleep(200); /* else it is closed before it is read */
    close(fd);
}

static void hold_silent(struct target *t)
{
    for (size_t i = 0; i < silent_each; i++) {
        if (t->silent[i] > 0 && prng_below(&prng, 20) != 0)
            continue;
        if (t->silent[i] > 0)
            close(t->silent[i]);
        t->silent[i] = connect_to(t);
    }
}

static void abuse_for(unsigned seconds)
{
    uint64_t until = clock_monotonic_ms() + seconds * 1000ull;
    unsigned long rounds = 0;
    for (; clock_monotonic_ms() < until; rounds++)
        for (size_t i = 0; i < target_count; i++) {
            if (rounds % 200 == 0)
                hold_silent(&targets[i]);
            for (int n = 0; n < FLOOD_EACH; n++)
                abuse_once(&targets[i]);
        }
    printf("%lu connections to each of %zu listeners in %u s\n", rounds * FLOOD_EACH, target_count,
           seconds);
}

/* ---- and afterwards */

static void check_http(void)
{
    char command[160];
    snprintf(command, sizeof(command),
             "curl -sf -m 15 -o /dev/null http://127.0.0.1:%u/v1/status/leader", http_port);
    if (system(command) != 0)
        give_up("http", "no answer");
}

static void check_all(double took)
{
    for (size_t i = 0; i < target_count; i++) {
        struct target *t = &targets[i];
        struct arena *a = arena_new(1 << 20);
        struct response r;
        if (t->is_bus && ask(t, PB__DAEMON__METHOD__PING, NULL, a, &r) != PB__REPLY__CODE__OK)
            give_up(t->name, r.reason);
        arena_free(a);
        if (t->uptime >= 0 && uptime_of(t) < t->uptime + took)
            give_up(t->name, "its process is another one");
        for (size_t k = 0; k < silent_each; k++)
            if (t->silent[k] > 0)
                close(t->silent[k]);
    }
    check_http();
}

int main(void)
{
    const char *seconds_text = getenv("NORN_ABUSE_SECONDS"), *seed_text = getenv("NORN_ABUSE_SEED");
    unsigned seconds = seconds_text != NULL ? (unsigned)atoi(seconds_text) : 5;
    seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : (uint64_t)clock_wall_ns();
    prng_seed(&prng, seed);
    if (seconds >= 60)
        silent_each = SILENT_MOST;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    start_suite();
    await_suite();
    find_targets();
    uint64_t before = clock_monotonic_ms();
    abuse_for(seconds);
    check_all((double)(clock_monotonic_ms() - before) / 1000);
    end_suite();
    puts("all answer");
    return 0;
}
