#include "monitor.h"
#include "base/clock.h"
#include "base/err.h"
#include "deployview.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    POLL_WAIT_S = 5,    /* one blocking query */
    POLL_PAUSE_MS = 50, /* between two answers, should a server not block */
    SETTLE_MS = 3000,   /* for tasks to start */
    SETTLE_VERBOSE_MS = 30000,
    MOST_ALLOC_LINES = 20, /* a job of thousands should not fill the screen */
};

struct monitor {
    struct client *client;
    const char *eval_id;
    const struct monitor_options *options;
    json_t *eval, *allocs; /* as last seen */
    json_t *statuses;      /* alloc id -> client status as last told */
    uint64_t index;        /* of the evaluation */
    uint64_t allocs_index;
    bool introduced, deployment_told;
    char status[24]; /* of the evaluation as last told */
    size_t alloc_lines, alloc_lines_left_out;
    uint64_t told_ms; /* when something was last printed */
};

__attribute__((format(printf, 2, 3))) static void say(struct monitor *m, const char *format, ...)
{
    if (m->options->quiet)
        return;
    struct strbuf s = STRBUF_INIT;
    va_list args;
    va_start(args, format);
    strbuf_vprintf(&s, format, args);
    va_end(args);
    print_clean(stdout, strbuf_text(&s));
    putchar('\n');
    fflush(stdout);
    strbuf_free(&s);
    m->told_ms = clock_monotonic_ms();
}

static const char *id(const struct monitor *m, const char *text)
{
    return show_id(text, m->options->verbose);
}

static bool refresh(struct monitor *m, json_t **target, uint64_t *index, const char *after,
                    const char *what)
{
    struct answer a;
    char *path = path_of("/v1/evaluation/", m->eval_id, after);
    const char *query =
        *index > 0 ? show("index=%llu&wait=%ds", (unsigned long long)*index, POLL_WAIT_S) : NULL;
    bool ok = client_get_json(m->client, &a, what, path, query);
    if (ok) {
        json_decref(*target);
        *target = json_incref(a.json);
        *index = a.index;
    }
    answer_free(&a);
    free(path);
    return ok;
}

static bool alloc_line_allowed(struct monitor *m)
{
    if (m->options->verbose || m->alloc_lines < MOST_ALLOC_LINES) {
        m->alloc_lines++;
        return true;
    }
    m->alloc_lines_left_out++;
    return false;
}

static void tell_alloc(struct monitor *m, const json_t *alloc)
{
    const char *alloc_id = text_at(alloc, "ID"), *now = text_at(alloc, "ClientStatus");
    const json_t *known = json_object_get(m->statuses, alloc_id);
    if (known == NULL && number_at(alloc, "CreateIndex") > number_at(m->eval, "CreateIndex")) {
        if (alloc_line_allowed(m))
            say(m, "    Allocation \"%s\" created: node \"%s\", group \"%s\"", id(m, alloc_id),
                id(m, text_at(alloc, "NodeID")), text_at(alloc, "TaskGroup"));
    } else if (known == NULL) {
        if (alloc_line_allowed(m))
            say(m, "    Allocation \"%s\" modified: node \"%s\", group \"%s\"", id(m, alloc_id),
                id(m, text_at(alloc, "NodeID")), text_at(alloc, "TaskGroup"));
    } else if (strcmp(json_string_value(known), now) != 0 && alloc_line_allowed(m)) {
        const char *why = text_at(alloc, "ClientDescription");
        say(m, "    Allocation \"%s\" status changed: \"%s\" -> \"%s\"%s%s%s", id(m, alloc_id),
            json_string_value(known), now, *why != '\0' ? " (" : "", why, *why != '\0' ? ")" : "");
    }
    json_object_set_new(m->statuses, alloc_id, json_string(now));
}

static bool look_at_allocs(struct monitor *m)
{
    size_t i;
    json_t *alloc;
    if (!refresh(m, &m->allocs, &m->allocs_index, "/allocations", "Error reading allocations"))
        return false;
    json_array_foreach(m->allocs, i, alloc) tell_alloc(m, alloc);
    return true;
}

static bool look_at_eval(struct monitor *m)
{
    if (!refresh(m, &m->eval, &m->index, "", "Error reading evaluation"))
        return false;
    if (!m->introduced) {
        m->introduced = true;
        if (*text_at(m->eval, "JobID") != '\0')
            say(m, "    Evaluation triggered by job \"%s\"", text_at(m->eval, "JobID"));
        else
            say(m, "    Evaluation triggered by \"%s\"", text_at(m->eval, "TriggeredBy"));
    }
    const char *deployment = text_at(m->eval, "DeploymentID");
    if (*deployment != '\0' && !m->deployment_told) {
        m->deployment_told = true;
        say(m, "    Evaluation within deployment: \"%s\"", id(m, deployment));
    }
    return true;
}

static void tell_status(struct monitor *m)
{
    const char *now = text_at(m->eval, "Status");
    if (strcmp(m->status, now) == 0)
        return;
    if (strcmp(now, "pending") != 0)
        say(m, "    Evaluation status changed: \"%s\" -> \"%s\"", m->status, now);
    snprintf(m->status, sizeof(m->status), "%s", now);
}

static bool has_ended(const struct monitor *m)
{
    const char *status = text_at(m->eval, "Status");
    return strcmp(status, "complete") == 0 || strcmp(status, "failed") == 0 ||
           strcmp(status, "canceled") == 0 || strcmp(status, "cancelled") == 0 ||
           strcmp(status, "blocked") == 0;
}

static size_t count_pending(const struct monitor *m)
{
    size_t i, pending = 0;
    json_t *alloc;
    json_array_foreach(m->allocs, i, alloc)
    {
        bool waits = strcmp(text_at(alloc, "ClientStatus"), "pending") == 0;
        pending += waits && strcmp(text_at(alloc, "DesiredStatus"), "run") == 0;
    }
    return pending;
}

/* Somebody who waits wants to know that the waiting goes on. */
static void tell_patience(struct monitor *m, const char *what)
{
    if (clock_monotonic_ms() - m->told_ms > 10000)
        say(m, "    ... still waiting for %s", what);
}

static bool follow(struct monitor *m)
{
    for (;;) {
        if (!look_at_eval(m))
            return false;
        if (!look_at_allocs(m))
            return false;
        tell_status(m);
        if (has_ended(m))
            return true;
        tell_patience(m, "the evaluation");
        m->allocs_index = 0;
        usleep(POLL_PAUSE_MS * 1000);
    }
}

/* Tasks take some milliseconds to start; what failed at once is worth knowing. */
static bool settle(struct monitor *m)
{
    uint64_t limit = m->options->verbose ? SETTLE_VERBOSE_MS : SETTLE_MS;
    uint64_t end = clock_monotonic_ms() + limit;
    while (count_pending(m) > 0 && clock_monotonic_ms() < end) {
        usleep(POLL_PAUSE_MS * 1000);
        m->allocs_index = 0; /* short polls: it must end in time */
        if (!look_at_allocs(m))
            return false;
        tell_patience(m, "the tasks to start");
    }
    return true;
}

static void print_placement(struct monitor *m)
{
    const char *told[64];
    size_t told_count = 0, i;
    json_t *alloc;
    json_array_foreach(m->allocs, i, alloc)
    {
        const char *group = text_at(alloc, "TaskGroup");
        size_t known = 0;
        while (known < told_count && strcmp(told[known], group) != 0)
            known++;
        if (known < told_count || told_count == COUNT_OF(told))
            continue;
        told[told_count++] = group;
        struct answer a;
        char *path = path_of("/v1/allocation/", text_at(alloc, "ID"), "");
        if (client_get(m->client, &a, path, NULL) && a.json != NULL &&
            json_array_size(value_at(value_at(a.json, "Metrics"), "ScoreMetaData")) > 0) {
            printf("\nPlacement of group \"");
            print_clean(stdout, group);
            printf("\": %lld nodes evaluated, %lld filtered, %lld exhausted\n",
                   (long long)number_at(value_at(a.json, "Metrics"), "NodesEvaluated"),
                   (long long)number_at(value_at(a.json, "Metrics"), "NodesFiltered"),
                   (long long)number_at(value_at(a.json, "Metrics"), "NodesExhausted"));
            print_scores(value_at(a.json, "Metrics"), true, client_colors(m->client));
        }
        answer_free(&a);
        free(path);
    }
}

static int conclude(struct monitor *m)
{
    const json_t *failed = value_at(m->eval, "FailedTGAllocs");
    const char *blocked = text_at(m->eval, "BlockedEval"), *status = text_at(m->eval, "Status");
    bool placed_all = json_object_size(failed) == 0;
    if (m->alloc_lines_left_out > 0)
        say(m, "    ... and %zu changes more of allocations (-verbose shows all)",
            m->alloc_lines_left_out);
    say(m, "==> Evaluation \"%s\" finished with status \"%s\"%s", id(m, m->eval_id), status,
        placed_all ? "" : " but failed to place all allocations:");
    bool held = placed_all && strcmp(status, "blocked") == 0;
    if (*text_at(m->eval, "StatusDescription") != '\0' && (held || strcmp(status, "failed") == 0))
        say(m, "    %s", text_at(m->eval, "StatusDescription"));
    if (!placed_all && !m->options->quiet)
        print_placement_failures(failed, "    ", true);
    if (!placed_all && *blocked != '\0')
        say(m, "    Evaluation \"%s\" waiting for additional capacity to place remainder",
            id(m, blocked));
    if (m->options->verbose && !m->options->quiet)
        print_placement(m);
    if (!placed_all)
        return EXIT_PLACEMENT;
    return strcmp(status, "failed") == 0 ? EXIT_ERROR : EXIT_OK;
}

int monitor_eval(struct client *c, const char *eval_id, const struct monitor_options *o,
                 json_t **result)
{
    struct monitor m = {.client = c, .eval_id = eval_id, .options = o, .status = "pending"};
    int code = EXIT_ERROR;
    m.statuses = json_object();
    say(&m, "==> Monitoring evaluation \"%s\"", id(&m, eval_id));
    if (follow(&m) && (!o->placed || settle(&m)))
        code = conclude(&m);
    if (code == EXIT_OK && o->deployment && !o->quiet && m.deployment_told)
        code = follow_deployment(c, text_at(m.eval, "DeploymentID"),
                                 &(struct follow_options){.verbose = o->verbose});
    if (result != NULL)
        *result = json_pack("{s:O?, s:O?}", "Evaluation", m.eval, "Allocations", m.allocs);
    json_decref(m.statuses);
    json_decref(m.eval);
    json_decref(m.allocs);
    return code;
}
