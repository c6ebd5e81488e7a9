/* Deployments and what allocations say of them, as recorded from Nomad 1.1.0; ids of scaling
 * policies. */
#include "base/err.h"
#include "base/id.h"
#include "gateway/alloc_json.h"
#include "gateway/policy_id.h"
#include "wire/json.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

static ProtobufCBinaryData id_of(const char *text)
{
    static uint8_t room[8][ID_SIZE];
    static size_t next;
    uint8_t *id = room[next++ % COUNT_OF(room)];
    must(id_parse(text, id));
    return (ProtobufCBinaryData){.len = ID_SIZE, .data = id};
}

Test(deployments, one_looks_as_recorded)
{
    Pb__Deployment d = PB__DEPLOYMENT__INIT;
    Pb__DeploymentGroup g = PB__DEPLOYMENT_GROUP__INIT, *groups[] = {&g};
    ProtobufCBinaryData canary = id_of("a1b222b3-b7cb-09b9-277b-65d4bfd819fc");
    d.id = id_of("2ef3a608-b6f5-cc82-25b0-2539c8c61ebe");
    d.job_id = (char *)(uintptr_t) "canary";
    d.job_version = 1;
    d.job_create_index = 169;
    d.job_modify_index = d.job_spec_modify_index = 173;
    d.create_index = 174;
    d.modify_index = 177;
    d.status = PB__DEPLOYMENT__STATUS__RUNNING;
    d.status_description =
        (char *)(uintptr_t) "Deployment is running but requires manual promotion";
    d.has_id = d.has_job_version = d.has_job_create_index = d.has_job_modify_index = true;
    d.has_job_spec_modify_index = d.has_create_index = d.has_modify_index = d.has_status = true;
    d.task_groups = groups;
    d.n_task_groups = 1;
    g.name = (char *)(uintptr_t) "api";
    g.has_desired_total = g.has_desired_canaries = g.has_placed_allocs = g.has_healthy_allocs =
        true;
    g.has_progress_deadline_ns = g.has_require_progress_by = true;
    g.desired_total = 2;
    g.desired_canaries = g.placed_allocs = g.healthy_allocs = 1;
    g.placed_canaries = &canary;
    g.n_placed_canaries = 1;
    g.progress_deadline_ns = 15000000000;
    g.require_progress_by = 1795426948404620249;
    json_t *want = json_load_file(API_DIR "/deployment.json", 0, NULL);
    json_t *have = wire_to_json(&d.base);
    char *shown = json_dumps(have, JSON_SORT_KEYS);
    cr_assert_not_null(want);
    cr_assert(json_equal(want, have), "%s", shown);
    free(shown);
    json_decref(want);
    json_decref(have);
}

Test(deployments, what_was_given_up_is_spelled_in_two_ways)
{
    Pb__Deployment d = PB__DEPLOYMENT__INIT;
    Pb__Eval e = PB__EVAL__INIT;
    d.has_status = e.has_status = true;
    d.status = PB__DEPLOYMENT__STATUS__CANCELLED;
    e.status = PB__EVAL__STATUS__CANCELLED;
    json_t *deployment = wire_to_json(&d.base), *eval = wire_to_json(&e.base);
    cr_assert_str_eq(json_string_value(json_object_get(deployment, "Status")), "cancelled");
    cr_assert_str_eq(json_string_value(json_object_get(eval, "Status")), "canceled");
    json_decref(deployment);
    json_decref(eval);
}

static void at(const json_t *tree, const char *key, const char *want)
{
    char *text = json_dumps(json_object_get(tree, key), JSON_ENCODE_ANY | JSON_SORT_KEYS);
    cr_assert_not_null(text, "no %s", key);
    cr_assert_str_eq(text, want, "%s: %s", key, text);
    free(text);
}

Test(deployments, an_allocation_tells_its_health_its_follow_up_and_what_is_wished)
{
    Pb__Alloc a = PB__ALLOC__INIT;
    Pb__DeploymentStatus status = PB__DEPLOYMENT_STATUS__INIT;
    Pb__RescheduleEvent event = PB__RESCHEDULE_EVENT__INIT, *events[] = {&event};
    Pb__RescheduleTracker tracker = PB__RESCHEDULE_TRACKER__INIT;
    status.has_healthy = status.healthy = status.has_canary = status.canary = true;
    event.has_delay_ns = event.has_prev_alloc_id = true;
    event.delay_ns = 5000000000;
    event.prev_alloc_id = id_of("3b7cf4bc-e6f7-b23a-14c4-2c10108831ea");
    tracker.events = events;
    tracker.n_events = 1;
    a.deployment_id = id_of("2ef3a608-b6f5-cc82-25b0-2539c8c61ebe");
    a.follow_up_eval = id_of("076d4a8c-f76b-7725-975a-9d8f09bfe1ad");
    a.has_deployment_id = a.has_follow_up_eval = a.has_stop_wanted = a.stop_wanted = true;
    a.deployment_status = &status;
    a.reschedule_tracker = &tracker;
    a.has_client_status = true;
    a.client_status = PB__ALLOC__CLIENT_STATUS__UNREACHABLE;
    struct alloc_parts p = {.alloc = &a, .job_type = "service", .node_name = "n", .node_ip = ""};
    json_t *stub = alloc_stub_json(&p, false, false), *whole = alloc_full_json(&p);
    at(stub, "DeploymentStatus",
       "{\"Canary\": true, \"Healthy\": true, \"ModifyIndex\": 0, \"Timestamp\": null}");
    at(stub, "FollowupEvalID", "\"076d4a8c-f76b-7725-975a-9d8f09bfe1ad\"");
    at(stub, "ClientStatus", "\"unknown\"");
    at(stub, "DesiredTransition",
       "{\"ForceReschedule\": null, \"Migrate\": true, \"Reschedule\": null}");
    at(stub, "RescheduleTracker",
       "{\"Events\": [{\"Delay\": 5000000000, \"PrevAllocID\": "
       "\"3b7cf4bc-e6f7-b23a-14c4-2c10108831ea\", \"PrevNodeID\": \"\", \"RescheduleTime\": 0}]}");
    at(whole, "DeploymentID", "\"2ef3a608-b6f5-cc82-25b0-2539c8c61ebe\"");
    cr_assert_null(json_object_get(stub, "DeploymentID"));
    json_decref(stub);
    json_decref(whole);
}

Test(deployments, the_id_of_a_scaling_policy_follows_from_its_names)
{
    uint8_t one[ID_SIZE], same[ID_SIZE], other[ID_SIZE];
    policy_id(NULL, "scaled", "pool", one);
    policy_id("default", "scaled", "pool", same);
    cr_assert(id_equal(one, same));
    cr_assert_eq(one[6] >> 4, 8);
    cr_assert_eq(one[8] >> 6, 2);
    policy_id(NULL, "scaledp", "ool", other);
    cr_assert_not(id_equal(one, other));
    policy_id("apps", "scaled", "pool", other);
    cr_assert_not(id_equal(one, other));
}
