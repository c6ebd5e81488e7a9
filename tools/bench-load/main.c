/* bench-load: the other side of the benchmark. Simulates node agents over the bus and a client over
 * HTTP, and measures what comes of it. tools/bench starts it beside a server suite.
 *
 * Says      on stdout: "registered SECONDS" once all nodes are, then waits for a line on stdin;
 *           then "submitted", at the end one JSON object of what was measured
 * Exits     0 measured, 1 not (time over, or requests failed) */
#include "agents.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "http.h"
#include "latency.h"
#include "loop/loop.h"
#include <getopt.h>
#include <stdio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONCURRENT = 256, CHECKERS = 8, TICK_MS = 5, RECHECK_MS = 4, EVAL_TEXT = 40 };

struct job {
    int64_t submitted_ns;
    char eval[EVAL_TEXT];
    bool answered;
};

/* Looks at every CHECKERS-th evaluation, in the order of their jobs. */
struct checker {
    struct load *load;
    struct http *http;
    struct timer again;
    size_t next;
};

struct load {
    struct loop *loop;
    struct agents *agents;
    struct timer tick;
    struct checker checkers[CHECKERS];
    /* options */
    const char *type;
    size_t nodes, jobs, count, concurrent;
    int port;
    bool watch, spread, mixed, until_reported, tenths, linger;
    uint64_t run_for_ms, limit_ms;
    uint32_t node_cpu, node_memory_mb, task_cpu;
    size_t flaps;
    /* progress */
    struct http *submitters[MAX_CONCURRENT];
    size_t next_job, answered, checked, received, reported, ended, refused;
    struct job *job;
    int64_t begun_ns, first_ns, placed_ns, received_ns, reported_ns, flap_ns;
    int64_t tenth_ns, last_tenth_ns; /* when a tenth of the evaluations had ended, and nine */
    bool running, flapping, done;
    uint64_t done_ms;
    struct latency submit, reach;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- submission */

static void submit_next(struct load *b, struct http *h);

struct submission {
    struct load *load;
    struct http *http;
    size_t number;
};

static bool text_after(const char *body, const char *key, char *out, size_t size)
{
    const char *at = strstr(body, key);
    if (at == NULL)
        return false;
    at += strlen(key);
    at += strspn(at, " :\"");
    snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
    return true;
}

static void on_submitted(void *owner, int status, const char *body, size_t len)
{
    struct submission *s = owner;
    struct load *b = s->load;
    struct job *job = &b->job[s->number];
    latency_add(&b->submit, now_ns() - job->submitted_ns);
    job->answered = true;
    b->answered++;
    if (status != 200 || !text_after(body, "\"EvalID\"", job->eval, sizeof job->eval)) {
        if (b->refused++ < 3)
            fprintf(stderr, "bench-load: job %zu: HTTP %d: %.300s\n", s->number, status, body);
    }
    struct http *h = s->http;
    free(s);
    submit_next(b, h);
}

#define DISTINCT_HOSTS "{\"Operand\":\"distinct_hosts\",\"RTarget\":\"true\"}"
#define ON_SOME_RACKS                                                                              \
    "{\"LTarget\":\"${attr.rack}\",\"Operand\":\"regexp\",\"RTarget\":\"^r[0-9]$\"}"

/* What the number-th job asks for: spread over racks, and with --mixed every third one each. */
static void add_wishes(struct strbuf *body, const struct load *b, size_t number)
{
    if (b->spread && (!b->mixed || number % 3 == 0))
        strbuf_puts(body, "\"Spreads\":[{\"Attribute\":\"${attr.rack}\",\"Weight\":100}],");
    if (b->mixed)
        strbuf_printf(body, "\"Constraints\":[%s],",
                      number % 3 == 1   ? DISTINCT_HOSTS
                      : number % 3 == 2 ? ON_SOME_RACKS
                                        : "");
}

/* One on each node. */
static bool is_system(const struct load *b)
{
    return strcmp(b->type, "system") == 0;
}

static void submit_next(struct load *b, struct http *h)
{
    if (b->next_job == b->jobs)
        return;
    struct submission *s = xcalloc(1, sizeof *s);
    struct strbuf body = STRBUF_INIT;
    s->load = b;
    s->http = h;
    s->number = b->next_job++;
    strbuf_printf(
        &body,
        "{\"Job\":{\"ID\":\"bench-%zu\",\"Name\":\"bench-%zu\",\"Type\":\"%s\",\"Priority\":50,"
        "\"Region\":\"global\",\"Datacenters\":[\"dc1\"],",
        s->number, s->number, b->type);
    add_wishes(&body, b, s->number);
    strbuf_printf(&body,
                  "\"TaskGroups\":[{\"Name\":\"group\","
                  "\"Count\":%zu,\"EphemeralDisk\":{\"SizeMB\":10},\"Tasks\":[{\"Name\":\"task\","
                  "\"Driver\":\"mock\",\"Config\":{\"run_for\":\"1h\"},"
                  "\"LogConfig\":{\"MaxFiles\":1,\"MaxFileSizeMB\":5},"
                  "\"Resources\":{\"CPU\":%u,\"MemoryMB\":64}}]}]}}",
                  is_system(b) ? 1 : b->count, b->task_cpu);
    b->job[s->number].submitted_ns = now_ns();
    http_send(h, "PUT", "/v1/jobs", strbuf_text(&body), on_submitted, s);
    strbuf_free(&body);
}

/* ---- the evaluations: the last one seen complete ends the measured time */

static void check_next(void *owner);

static void checked(struct checker *c)
{
    struct load *b = c->load;
    b->checked++;
    c->next += CHECKERS;
    if (b->checked == b->jobs / 10)
        b->tenth_ns = now_ns();
    if (b->checked == b->jobs - b->jobs / 10)
        b->last_tenth_ns = now_ns();
}

static void on_checked(void *owner, int status, const char *body, size_t len)
{
    struct checker *c = owner;
    struct load *b = c->load;
    char state[32] = "";
    if (status == 200)
        text_after(body, "\"Status\"", state, sizeof state);
    bool complete = strcmp(state, "complete") == 0;
    if (complete || strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0) {
        b->refused += !complete;
        b->placed_ns = now_ns();
        checked(c);
        check_next(c);
    } else {
        timer_arm(b->loop, &c->again, RECHECK_MS, check_next, c);
    }
}

static void check_next(void *owner)
{
    struct checker *c = owner;
    struct load *b = c->load;
    while (c->next < b->jobs && b->job[c->next].answered && b->job[c->next].eval[0] == '\0')
        checked(c); /* refused */
    if (c->next >= b->jobs)
        return;
    if (!b->job[c->next].answered) {
        timer_arm(b->loop, &c->again, RECHECK_MS, check_next, c);
        return;
    }
    char path[80];
    snprintf(path, sizeof path, "/v1/evaluation/%s", b->job[c->next].eval);
    http_send(c->http, "GET", path, "", on_checked, c);
}

/* ---- agents */

static void on_received(void *owner, const char *job_id)
{
    struct load *b = owner;
    size_t number = strtoul(job_id + strcspn(job_id, "0123456789"), NULL, 10);
    if (number >= b->jobs)
        return;
    b->received++;
    b->received_ns = now_ns();
    latency_add(&b->reach, b->received_ns - b->job[number].submitted_ns);
}

static void on_reported(void *owner)
{
    struct load *b = owner;
    b->reported++;
    b->reported_ns = now_ns();
}

static void on_ended(void *owner)
{
    struct load *b = owner;
    b->ended++;
}

/* ---- phases */

static void begin(struct load *b)
{
    b->running = true;
    b->first_ns = now_ns();
    for (size_t i = 0; i < b->concurrent; i++) {
        b->submitters[i] = http_open(b->loop, b->port);
        submit_next(b, b->submitters[i]);
    }
    for (size_t i = 0; i < CHECKERS; i++) {
        struct checker *c = &b->checkers[i];
        c->load = b;
        c->http = http_open(b->loop, b->port);
        c->next = i;
        check_next(c);
    }
}

static void print_result(struct load *b)
{
    size_t placed = b->jobs * b->count;
    double placed_s = (double)(b->placed_ns - b->first_ns) / 1e9;
    double reached_s = (double)(b->received_ns - b->first_ns) / 1e9;
    printf("{\"placements\":%zu,\"evals\":%zu,\"seconds\":%.4f,\"placements_per_s\":%.1f,"
           "\"evals_per_s\":%.1f,\"submit_ms_p50\":%.3f,\"submit_ms_p99\":%.3f",
           placed, b->jobs, placed_s, (double)placed / placed_s, (double)b->jobs / placed_s,
           latency_ms(&b->submit, 0.5), latency_ms(&b->submit, 0.99));
    if (b->watch)
        printf(",\"submit_to_agent_ms_p50\":%.3f,\"submit_to_agent_ms_p99\":%.3f,\"received\":%zu,"
               "\"received_per_s\":%.1f",
               latency_ms(&b->reach, 0.5), latency_ms(&b->reach, 0.99), b->received,
               (double)b->received / reached_s);
    if (b->tenths) {
        double tenth = (double)b->jobs / 10;
        printf(",\"first_tenth_evals_per_s\":%.1f,\"last_tenth_evals_per_s\":%.1f",
               tenth / ((double)(b->tenth_ns - b->first_ns) / 1e9),
               tenth / ((double)(b->placed_ns - b->last_tenth_ns) / 1e9));
    }
    if (b->flaps > 0)
        printf(",\"flapping_s\":%.3f,\"flaps\":%zu", (double)(now_ns() - b->flap_ns) / 1e9,
               agents_flapped(b->agents));
    if (b->until_reported)
        printf(",\"reported_s\":%.3f,\"reports_late\":%zu",
               (double)(b->reported_ns - b->first_ns) / 1e9, agents_late(b->agents));
    printf(",\"failures\":%zu}\n", b->refused + agents_failures(b->agents));
    fflush(stdout);
}

static bool all_done(const struct load *b)
{
    size_t placed = b->jobs * b->count;
    return b->checked == b->jobs && (!b->watch || b->received >= placed) &&
           (b->run_for_ms == 0 || b->ended >= placed) &&
           (!b->until_reported || b->reported >= placed);
}

static bool is_closed(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) > 0;
}

static void on_tick(void *owner)
{
    struct load *b = owner;
    uint64_t elapsed_ms = (uint64_t)(now_ns() - b->begun_ns) / 1000000;
    timer_arm(b->loop, &b->tick, TICK_MS, on_tick, b);
    if (!b->running && agents_ready(b->agents) == b->nodes) {
        char line[16];
        printf("registered %.3f\n", (double)(now_ns() - b->begun_ns) / 1e9);
        fflush(stdout);
        b->running = true; /* held here: nothing is measured until the line comes */
        if (b->jobs == 0 || fgets(line, sizeof line, stdin) == NULL) {
            loop_stop(b->loop);
            return;
        }
        b->begun_ns = now_ns();
        begin(b);
    } else if (b->running && !b->flapping && b->flaps > 0 && all_done(b)) {
        b->flapping = true;
        b->flap_ns = now_ns();
        agents_flap(b->agents, b->flaps);
    } else if (b->running && !b->done && all_done(b) &&
               agents_flapped(b->agents) == b->flaps * b->nodes) {
        b->done = true;
        print_result(b);
        if (!b->linger)
            loop_stop(b->loop);
    } else if (b->done && is_closed(STDIN_FILENO)) {
        loop_stop(b->loop);
    } else if (elapsed_ms > b->limit_ms) {
        fprintf(stderr,
                "bench-load: not done after %llu ms: %zu of %zu nodes, %zu of %zu answered, %zu "
                "evaluations complete, %zu allocations received, %zu reported, %zu ended\n",
                (unsigned long long)elapsed_ms, agents_ready(b->agents), b->nodes, b->answered,
                b->jobs, b->checked, b->received, b->reported, b->ended);
        loop_stop(b->loop);
    }
}

static void usage(void)
{
    fprintf(stderr,
            "usage: bench-load --run-dir DIR --port P [--nodes N] [--jobs N] [--count N] "
            "[--concurrent N]\n                  [--type service|batch|system] [--no-watch] "
            "[--run-for-ms N] [--limit-ms N]\n                  [--node-cpu MHZ] "
            "[--node-memory-mb MB] [--until-reported]\n                  [--task-cpu MHZ] "
            "[--tenths] [--flaps N] [--linger]\n"
            "--linger: the agents go on once the result is printed, until standard input ends\n");
}

static const struct option options[] = {
    {"run-dir", required_argument, NULL, 'd'},
    {"port", required_argument, NULL, 'p'},
    {"nodes", required_argument, NULL, 'n'},
    {"jobs", required_argument, NULL, 'j'},
    {"count", required_argument, NULL, 'c'},
    {"concurrent", required_argument, NULL, 'C'},
    {"type", required_argument, NULL, 't'},
    {"spread", no_argument, NULL, 's'},
    {"mixed", no_argument, NULL, 'm'},
    {"task-cpu", required_argument, NULL, 'T'},
    {"flaps", required_argument, NULL, 'f'},
    {"tenths", no_argument, NULL, 'e'},
    {"linger", no_argument, NULL, 'L'},
    {"until-reported", no_argument, NULL, 'R'},
    {"no-watch", no_argument, NULL, 'w'},
    {"run-for-ms", required_argument, NULL, 'r'},
    {"limit-ms", required_argument, NULL, 'l'},
    {"node-cpu", required_argument, NULL, 'u'},
    {"node-memory-mb", required_argument, NULL, 'y'},
    {NULL, 0, NULL, 0},
};

static bool options_read(struct load *b, int argc, char **argv, const char **run_dir)
{
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        switch (c) {
        case 'd':
            *run_dir = optarg;
            break;
        case 'p':
            b->port = (int)number;
            break;
        case 'n':
            b->nodes = number;
            break;
        case 'j':
            b->jobs = number;
            break;
        case 'c':
            b->count = number;
            break;
        case 'C':
            b->concurrent = number;
            break;
        case 't':
            b->type = optarg;
            break;
        case 's':
            b->spread = true;
            break;
        case 'm':
            b->spread = b->mixed = true;
            break;
        case 'T':
            b->task_cpu = (uint32_t)number;
            break;
        case 'f':
            b->flaps = number;
            break;
        case 'e':
            b->tenths = true;
            break;
        case 'L':
            b->linger = true;
            break;
        case 'R':
            b->until_reported = true;
            break;
        case 'w':
            b->watch = false;
            break;
        case 'r':
            b->run_for_ms = number;
            break;
        case 'l':
            b->limit_ms = number;
            break;
        case 'u':
            b->node_cpu = (uint32_t)number;
            break;
        case 'y':
            b->node_memory_mb = (uint32_t)number;
            break;
        default:
            return false;
        }
    }
    return *run_dir != NULL && b->port > 0 && b->concurrent <= MAX_CONCURRENT && b->nodes > 0;
}

int main(int argc, char **argv)
{
    struct load *b = xcalloc(1, sizeof *b);
    const char *run_dir = NULL;
    char door[200], poll[200];
    b->type = "service";
    b->nodes = b->count = b->concurrent = 1;
    b->watch = true;
    b->limit_ms = 120000;
    b->node_cpu = 8000;
    b->node_memory_mb = 16384;
    b->task_cpu = 100;
    if (!options_read(b, argc, argv, &run_dir)) {
        usage();
        return 2;
    }
    if (is_system(b))
        b->count = b->nodes;
    snprintf(door, sizeof door, "ipc://%s/gateway.sock", run_dir);
    snprintf(poll, sizeof poll, "ipc://%s/gateway-poll.sock", run_dir);
    b->job = xcalloc(b->jobs + 1, sizeof *b->job);
    b->loop = loop_new();
    b->begun_ns = now_ns();
    struct agents_options o = {.gateway = door,
                               .gateway_poll = poll,
                               .nodes = b->nodes,
                               .node_cpu = b->node_cpu,
                               .node_memory_mb = b->node_memory_mb,
                               .watch = b->watch,
                               .run_for_ms = b->run_for_ms,
                               .received = on_received,
                               .reported = on_reported,
                               .ended = on_ended,
                               .owner = b};
    b->agents = agents_open(b->loop, &o);
    timer_arm(b->loop, &b->tick, TICK_MS, on_tick, b);
    loop_run(b->loop);
    bool measured = b->jobs == 0 || b->done;
    /* Thousands of connections end faster with the process than one by one. */
    fflush(NULL);
    _exit(measured && b->refused + agents_failures(b->agents) == 0 ? 0 : 1);
}
