/* Every key that Nomad's answers have, ours have too, with a value of the same type. The answers in
 * tests/data/api were recorded from Nomad 1.1.0. */
#include "base/id.h"
#include "gateway/alloc_json.h"
#include "gateway/node_json.h"
#include "types.pb-c.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Keys of maps whose entries are the user's: only the first entry's shape counts. */
static bool is_map(const char *path)
{
    static const char *const maps[] = {"Tasks",
                                       "TaskStates",
                                       "TaskLifecycles",
                                       "Drivers",
                                       "Attributes",
                                       "Meta",
                                       "HostVolumes",
                                       "Summary",
                                       "Config",
                                       "Env",
                                       "Scores",
                                       "Details",
                                       "TaskResources",
                                       "FailedTGAllocs",
                                       "ClassEligibility",
                                       "QueuedAllocations",
                                       "NodesAvailable",
                                       "ClassFiltered",
                                       "ConstraintFiltered",
                                       "DimensionExhausted",
                                       "Links"};
    const char *last = strrchr(path, '.');
    for (size_t i = 0; last != NULL && i < COUNT_OF(maps); i++)
        if (strcmp(last + 1, maps[i]) == 0)
            return true;
    return false;
}

static bool same_type(const json_t *a, const json_t *b)
{
    return json_typeof(a) == json_typeof(b) || (json_is_number(a) && json_is_number(b)) ||
           (json_is_boolean(a) && json_is_boolean(b));
}

static void compare(const json_t *want, const json_t *have, const char *path)
{
    char inner[512];
    if (json_is_null(want) || json_is_null(have))
        return; /* null stands for an empty value of any type */
    cr_expect(same_type(want, have), "%s: type %d, not %d", path, json_typeof(have),
              json_typeof(want));
    if (json_is_array(want) && json_is_array(have)) {
        if (json_array_size(want) > 0 && json_array_size(have) > 0)
            compare(json_array_get(want, 0), json_array_get(have, 0), path);
        return;
    }
    if (!json_is_object(want) || !json_is_object(have))
        return;
    const char *key;
    json_t *value;
    if (is_map(path)) {
        void *a = json_object_iter((json_t *)(uintptr_t)want);
        void *b = json_object_iter((json_t *)(uintptr_t)have);
        if (a != NULL && b != NULL && strcmp(strrchr(path, '.'), ".Config") != 0)
            compare(json_object_iter_value(a), json_object_iter_value(b), "*");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)want, key, value)
    {
        const json_t *ours = json_object_get(have, key);
        snprintf(inner, sizeof(inner), "%s.%s", path, key);
        cr_expect_not_null(ours, "%s is missing", inner);
        if (ours != NULL)
            compare(value, ours, inner);
    }
}

static void expect_shape(const char *name, json_t *have, const char *const *without)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.json", API_DIR, name);
    json_t *want = json_load_file(path, 0, NULL);
    cr_assert_not_null(want, "%s", path);
    for (; without != NULL && *without != NULL; without++)
        json_object_del(want, *without);
    compare(want, have, name);
    json_decref(want);
    json_decref(have);
}

static const char *const none[] = {NULL};

/* The recorded job itself, read into a message. */
static Pb__Job *a_job(struct arena *a)
{
    struct reason why = {{0}};
    ProtobufCMessage *m = NULL;
    json_t *tree = json_load_file(API_DIR "/job.json", 0, NULL);
    cr_assert_eq(wire_from_json(a, &pb__job__descriptor, tree, "Job", 1 << 20, &m, &why), OK, "%s",
                 why.text);
    json_decref(tree);
    return (Pb__Job *)m;
}

static Pb__KeyValue detail = {PROTOBUF_C_MESSAGE_INIT(&pb__key_value__descriptor),
                              (char *)(uintptr_t) "k", (char *)(uintptr_t) "v"};
static Pb__KeyValue *details[] = {&detail};

static struct alloc_parts an_alloc(struct arena *a)
{
    struct id id = id_new();
    Pb__Job *job = a_job(a);
    Pb__Alloc *alloc = arena_alloc(a, sizeof(*alloc));
    Pb__AllocTasks *tasks = arena_alloc(a, sizeof(*tasks));
    Pb__TaskState *state = arena_alloc(a, sizeof(*state));
    Pb__TaskEvent *event = arena_alloc(a, sizeof(*event));
    Pb__Eval *eval = arena_alloc(a, sizeof(*eval));
    Pb__PlacementMetrics *metrics = arena_alloc(a, sizeof(*metrics));
    Pb__NodeScore *score = arena_alloc(a, sizeof(*score));
    Pb__Port *port = arena_alloc(a, sizeof(*port));
    pb__alloc__init(alloc);
    pb__alloc_tasks__init(tasks);
    pb__task_state__init(state);
    pb__task_event__init(event);
    pb__eval__init(eval);
    pb__placement_metrics__init(metrics);
    pb__node_score__init(score);
    pb__port__init(port);
    port->label = (char *)(uintptr_t) "http";
    port->value = 22692;
    event->n_details = 1;
    event->details = details;
    state->name = (char *)(uintptr_t) "server";
    state->n_events = 1;
    state->events = arena_copy(a, &event, sizeof(event));
    state->has_started_at = 1;
    state->started_at = 1795426927500000000;
    tasks->n_tasks = 1;
    tasks->tasks = arena_copy(a, &state, sizeof(state));
    metrics->task_group = (char *)(uintptr_t) "front";
    metrics->n_scores = 1;
    metrics->scores = arena_copy(a, &score, sizeof(score));
    eval->n_placed_groups = 1;
    eval->placed_groups = arena_copy(a, &metrics, sizeof(metrics));
    alloc->has_id = alloc->has_previous_alloc = 1;
    alloc->id = alloc->previous_alloc = wire_id(a, id.bytes);
    alloc->job_id = job->id;
    alloc->task_group = (char *)(uintptr_t) "front";
    alloc->n_ports = 1;
    alloc->ports = arena_copy(a, &port, sizeof(port));
    return (struct alloc_parts){.alloc = alloc,
                                .tasks = tasks,
                                .job = job,
                                .eval = eval,
                                .job_type = "service",
                                .node_name = "n1",
                                .node_ip = "127.0.0.1"};
}

Test(shapes, job)
{
    struct arena *a = arena_new(1 << 22);
    expect_shape("job", wire_to_json(&a_job(a)->base), none);
    arena_free(a);
}

Test(shapes, allocation)
{
    static const char *const without[] = {"DeploymentID", "DeploymentStatus", NULL};
    struct arena *a = arena_new(1 << 22);
    struct alloc_parts p = an_alloc(a);
    expect_shape("alloc", alloc_full_json(&p), without);
    arena_free(a);
}

Test(shapes, allocation_in_a_list)
{
    struct arena *a = arena_new(1 << 22);
    struct alloc_parts p = an_alloc(a);
    expect_shape("alloc-stub", alloc_stub_json(&p, true, true), none);
    arena_free(a);
}

Test(shapes, an_allocation_whose_job_and_node_are_gone_still_has_every_key)
{
    static const char *const without[] = {"DeploymentID", "DeploymentStatus", "PreviousAllocation",
                                          NULL};
    Pb__Alloc alloc = PB__ALLOC__INIT;
    struct alloc_parts p = {.alloc = &alloc, .job_type = "", .node_name = "", .node_ip = ""};
    expect_shape("alloc", alloc_full_json(&p), without);
    expect_shape("alloc-stub", alloc_stub_json(&p, true, true), none);
}

Test(shapes, allocation_name_holds_job_group_and_index)
{
    Pb__Alloc alloc = PB__ALLOC__INIT;
    alloc.job_id = (char *)(uintptr_t) "web";
    alloc.task_group = (char *)(uintptr_t) "front";
    alloc.name_index = 3;
    struct alloc_parts p = {.alloc = &alloc, .job_type = "", .node_name = "", .node_ip = ""};
    json_t *tree = alloc_stub_json(&p, false, true);
    cr_expect_str_eq(json_string_value(json_object_get(tree, "Name")), "web.front[3]");
    json_decref(tree);
}

static Pb__Node *a_node(struct arena *a)
{
    Pb__Node *n = arena_alloc(a, sizeof(*n));
    Pb__NodeNetwork *network = arena_alloc(a, sizeof(*network));
    Pb__NodeAddress *address = arena_alloc(a, sizeof(*address));
    Pb__DriverInfo *driver = arena_alloc(a, sizeof(*driver));
    Pb__NodeEvent *event = arena_alloc(a, sizeof(*event));
    pb__node__init(n);
    pb__node_network__init(network);
    pb__node_address__init(address);
    pb__driver_info__init(driver);
    pb__node_event__init(event);
    driver->name = (char *)(uintptr_t) "raw_exec";
    driver->has_update_time = 1;
    driver->update_time = 1;
    event->has_timestamp = 1;
    event->timestamp = 1;
    network->n_addresses = 1;
    network->addresses = arena_copy(a, &address, sizeof(address));
    n->n_networks = n->n_drivers = n->n_events = 1;
    n->networks = arena_copy(a, &network, sizeof(network));
    n->drivers = arena_copy(a, &driver, sizeof(driver));
    n->events = arena_copy(a, &event, sizeof(event));
    n->has_cores = 1;
    n->cores = 2;
    n->http_addr = (char *)(uintptr_t) "127.0.0.1:4646";
    n->n_attributes = 1;
    n->attributes = details;
    return n;
}

Test(shapes, node)
{
    struct arena *a = arena_new(1 << 22);
    expect_shape("node", node_full_json(a_node(a)), none);
    expect_shape("node-stub", node_stub_json(a_node(a), true), none);
    arena_free(a);
}

Test(shapes, evaluation)
{
    static const char *const without[] = {"DeploymentID", NULL};
    struct arena *a = arena_new(1 << 22);
    struct id id = id_new();
    Pb__Eval *e = arena_alloc(a, sizeof(*e));
    Pb__PlacementMetrics *failed = arena_alloc(a, sizeof(*failed));
    Pb__CountOf *count = arena_alloc(a, sizeof(*count));
    Pb__ClassEligible *class = arena_alloc(a, sizeof(*class));
    pb__eval__init(e);
    pb__placement_metrics__init(failed);
    pb__count_of__init(count);
    pb__class_eligible__init(class);
    e->has_id = e->has_blocked_eval = e->has_previous_eval = 1;
    e->id = e->blocked_eval = e->previous_eval = wire_id(a, id.bytes);
    e->n_failed_groups = e->n_queued = e->n_classes = 1;
    e->failed_groups = arena_copy(a, &failed, sizeof(failed));
    e->queued = arena_copy(a, &count, sizeof(count));
    e->classes = arena_copy(a, &class, sizeof(class));
    e->has_job_modify_index = e->has_snapshot_index = e->has_wait_until = 1;
    e->job_modify_index = e->snapshot_index = 7;
    e->wait_until = 1;
    e->status_description = (char *)(uintptr_t) "x";
    expect_shape("eval", wire_to_json(&e->base), without);
    arena_free(a);
}

Test(shapes, an_evaluation_leaves_out_what_is_empty)
{
    Pb__Eval e = PB__EVAL__INIT;
    json_t *tree = wire_to_json(&e.base);
    static const char *const omitted[] = {"BlockedEval",  "ClassEligibility",  "FailedTGAllocs",
                                          "PreviousEval", "QueuedAllocations", "SnapshotIndex",
                                          "WaitUntil",    "JobModifyIndex",    "StatusDescription"};
    for (size_t i = 0; i < COUNT_OF(omitted); i++)
        cr_expect_null(json_object_get(tree, omitted[i]), "%s", omitted[i]);
    cr_expect_str_eq(json_string_value(json_object_get(tree, "Namespace")), "default");
    json_decref(tree);
}

Test(shapes, summary)
{
    struct arena *a = arena_new(1 << 22);
    Pb__JobSummary s = PB__JOB_SUMMARY__INIT;
    Pb__GroupSummary g = PB__GROUP_SUMMARY__INIT, *groups[] = {&g};
    g.name = (char *)(uintptr_t) "front";
    s.n_summary = 1;
    s.summary = groups;
    expect_shape("summary", wire_to_json(&s.base), none);
    arena_free(a);
}
