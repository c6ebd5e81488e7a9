/* Whether a node takes work, and drains. */
#include "base/duration.h"
#include "base/err.h"
#include "client.h"
#include "resolve.h"
#include "show.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_DEADLINE_NS (3600ll * 1000000000)
#define POLL_NS             500000000

/* PUT path; false: it was said why not. Takes body. */
static bool put(struct client *c, const char *node_id, const char *what_path, json_t *body,
                const char *what)
{
    struct answer a;
    char *path = path_of("/v1/node/", node_id, what_path), *text = json_dumps(body, JSON_COMPACT);
    bool ok = client_call(c, "PUT", path, NULL, text, &a);
    if (ok && a.status != 200) {
        answer_refused(&a, what);
        ok = false;
    }
    answer_free(&a);
    json_decref(body);
    free(path);
    free(text);
    return ok;
}

/* The node that an argument names. NULL: it was said that there is none. */
static json_t *find(struct client *c, const struct args *args)
{
    return c == NULL ? NULL : resolve_or_say(c, "node", args->items[0]);
}

/* Of -enable and -disable exactly one. */
static bool one_of_two(const struct args *args)
{
    if (args_has(args, "enable") != args_has(args, "disable"))
        return true;
    fprintf(stderr, "either -enable or -disable must be given\n");
    return false;
}

static int run_eligibility(const struct args *args)
{
    if (!one_of_two(args))
        return EXIT_ERROR;
    bool enable = args_has(args, "enable");
    struct client *c = client_open(args);
    json_t *node = find(c, args);
    int code = EXIT_ERROR;
    if (node != NULL) {
        const char *id = text_at(node, "ID");
        if (put(c, id, "/eligibility",
                json_pack("{ss,ss}", "NodeID", id, "Eligibility",
                          enable ? "eligible" : "ineligible"),
                "Error updating scheduling eligibility")) {
            printf("Node \"%s\" scheduling eligibility set: %seligible for scheduling\n", id,
                   enable ? "" : "in");
            code = EXIT_OK;
        }
    }
    json_decref(node);
    client_close(c);
    return code;
}

/* ---- following a drain */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s: ", show_time((int64_t)time(NULL) * 1000000000, true));
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
}

struct follower {
    struct client *client;
    const char *node_id;
    bool ignore_system, drained;
    json_t *seen; /* id -> {"Status", "Marked", "Draining"} */
};

static bool is_terminal(const char *status)
{
    return strcmp(status, "complete") == 0 || strcmp(status, "failed") == 0 ||
           strcmp(status, "lost") == 0;
}

static bool is_system(const json_t *alloc)
{
    const json_t *job = value_at(alloc, "Job");
    return strcmp(text_at(job, "Type"), "system") == 0;
}

static void say_alloc(struct follower *f, const json_t *alloc)
{
    const char *id = text_at(alloc, "ID"), *status = text_at(alloc, "ClientStatus");
    bool marked = flag_at(value_at(alloc, "DesiredTransition"), "Migrate"),
         stops = strcmp(text_at(alloc, "DesiredStatus"), "stop") == 0;
    json_t *before = json_object_get(f->seen, id);
    bool known = before != NULL;
    if (known && marked && !flag_at(before, "Marked"))
        say("Alloc \"%s\" marked for migration", id);
    if (known && marked && stops && !flag_at(before, "Draining") && !is_terminal(status))
        say("Alloc \"%s\" draining", id);
    if (known && strcmp(text_at(before, "Status"), status) != 0)
        say("Alloc \"%s\" status %s -> %s", id, text_at(before, "Status"), status);
    json_object_set_new(
        f->seen, id,
        json_pack("{ss,sb,sb}", "Status", status, "Marked", marked, "Draining", marked && stops));
}

/* How many allocations of the node a drain still waits for; SIZE_MAX: no answer. */
static size_t look_at_allocs(struct follower *f)
{
    struct answer a;
    size_t i, left = SIZE_MAX;
    json_t *alloc;
    char *path = path_of("/v1/node/", f->node_id, "/allocations");
    if (client_get_json(f->client, &a, "Error monitoring allocations", path, NULL)) {
        left = 0;
        json_array_foreach(a.json, i, alloc)
        {
            say_alloc(f, alloc);
            left += !is_terminal(text_at(alloc, "ClientStatus")) &&
                    !(f->ignore_system && is_system(alloc));
        }
    }
    answer_free(&a);
    free(path);
    return left;
}

/* False: no answer. */
static bool look_at_node(struct follower *f)
{
    struct answer a;
    char *path = path_of("/v1/node/", f->node_id, "");
    bool ok = client_get_json(f->client, &a, "Error monitoring node", path, NULL);
    if (ok && !f->drained && json_is_null(value_at(a.json, "DrainStrategy"))) {
        f->drained = true;
        say("Drain complete for node %s", f->node_id);
    } else if (ok && !f->drained) {
        f->ignore_system = flag_at(value_at(a.json, "DrainStrategy"), "IgnoreSystemJobs");
    }
    answer_free(&a);
    free(path);
    return ok;
}

static int follow(struct client *c, const char *node_id)
{
    struct follower f = {.client = c, .node_id = node_id, .seen = json_object()};
    int code = EXIT_ERROR;
    size_t left;
    while ((left = look_at_allocs(&f)) != SIZE_MAX) {
        if (f.drained && left == 0) {
            say("All allocations on node \"%s\" have stopped", node_id);
            code = EXIT_OK;
            break;
        }
        if (!look_at_node(&f))
            break;
        if (!f.drained || left > 0)
            nanosleep(&(struct timespec){0, POLL_NS}, NULL);
    }
    json_decref(f.seen);
    return code;
}

/* ---- starting and ending one */

/* "-meta k=v"; NULL: it was said what is wrong with it. */
static json_t *meta_of(const struct args *args)
{
    json_t *meta = json_object();
    const char *text = args_text(args, "meta", NULL), *message = args_text(args, "m", NULL);
    const char *equals = text != NULL ? strchr(text, '=') : NULL;
    if (text != NULL && (equals == NULL || equals == text)) {
        fprintf(stderr, "-meta must be key=value, not \"%s\"\n", text);
        json_decref(meta);
        return NULL;
    }
    if (text != NULL)
        json_object_setn_new(meta, text, (size_t)(equals - text), json_string(equals + 1));
    if (message != NULL)
        json_object_set_new(meta, "message", json_string(message));
    return meta;
}

static bool deadline_of(const struct args *args, int64_t *ns)
{
    const char *text = args_text(args, "deadline", NULL);
    bool force = args_has(args, "force"), none = args_has(args, "no-deadline");
    *ns = force ? -1000000000 : none ? 0 : DEFAULT_DEADLINE_NS;
    if ((text != NULL) + force + none > 1) {
        fprintf(stderr, "of -deadline, -force and -no-deadline only one can be given\n");
        return false;
    }
    if (text != NULL && (!duration_parse(text, ns) || *ns <= 0)) {
        fprintf(stderr, "-deadline must be a duration above 0, like 30m, not \"%s\"\n", text);
        return false;
    }
    return true;
}

static json_t *drain_body(const struct args *args, const char *node_id)
{
    int64_t deadline;
    bool enable = args_has(args, "enable");
    json_t *meta = deadline_of(args, &deadline) ? meta_of(args) : NULL;
    if (meta == NULL)
        return NULL;
    json_t *spec = enable ? json_pack("{sI,sb}", "Deadline", (json_int_t)deadline,
                                      "IgnoreSystemJobs", args_has(args, "ignore-system"))
                          : json_null();
    return json_pack("{ss,so,sb,so}", "NodeID", node_id, "DrainSpec", spec, "MarkEligible",
                     !enable && !args_has(args, "keep-ineligible"), "Meta", meta);
}

static int drain(struct client *c, const struct args *args, const char *id)
{
    bool enable = args_has(args, "enable"), detach = args_has(args, "detach");
    if (args_has(args, "monitor")) {
        say("Monitoring node \"%s\": Ctrl-C to detach monitoring", id);
        return follow(c, id);
    }
    json_t *body = drain_body(args, id);
    if (body == NULL || !put(c, id, "/drain", body, "Error updating drain specification"))
        return EXIT_ERROR;
    if (!enable || detach) {
        printf("Node \"%s\" drain strategy %s\n", id, enable ? "set" : "unset");
        return EXIT_OK;
    }
    say("Ctrl-C to stop monitoring: will not cancel the node drain");
    say("Node \"%s\" drain strategy set", id);
    return follow(c, id);
}

static int run_drain(const struct args *args)
{
    if (!args_has(args, "monitor") && !one_of_two(args))
        return EXIT_ERROR;
    struct client *c = client_open(args);
    json_t *node = find(c, args);
    int code = node != NULL ? drain(c, args, text_at(node, "ID")) : EXIT_ERROR;
    json_decref(node);
    client_close(c);
    return code;
}

static const struct flag eligibility_flags[] = {
    {"enable", FLAG_BOOL, NULL, "the node takes new work"},
    {"disable", FLAG_BOOL, NULL, "it takes none; what runs there goes on"},
    FLAG_END,
};

static const struct flag drain_flags[] = {
    {"enable", FLAG_BOOL, NULL, "begin, or change a drain"},
    {"disable", FLAG_BOOL, NULL, "call it off; the node takes work again"},
    {"deadline", FLAG_TEXT, "duration", "what is left then goes at once (1h)"},
    {"force", FLAG_BOOL, NULL, "all goes at once"},
    {"no-deadline", FLAG_BOOL, NULL, "wait as long as it takes"},
    {"ignore-system", FLAG_BOOL, NULL, "system jobs stay"},
    {"keep-ineligible", FLAG_BOOL, NULL, "with -disable: the node takes no work yet"},
    {"m", FLAG_TEXT, "text", "why; kept with the node's last drain"},
    {"meta", FLAG_TEXT, "key=value", "kept with the node's last drain"},
    {"detach", FLAG_BOOL, NULL, "do not follow it"},
    {"monitor", FLAG_BOOL, NULL, "follow one that has begun, without changing it"},
    {"yes", FLAG_BOOL, NULL, "accepted; nothing is asked"},
    FLAG_END,
};

const struct command commands_drain[] = {
    {"node eligibility", NULL, "<node>", "whether a node takes new work", NULL, eligibility_flags,
     1, 1, run_eligibility},
    {"node drain", NULL, "<node>", "move all that runs on a node to others",
     "Services move a few at a time, as their migrate block says; batch jobs may end by "
     "themselves\n"
     "until the deadline; system jobs stop last. The node takes no new work until it is made\n"
     "eligible again.",
     drain_flags, 1, 1, run_drain},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
