#include "alloc_json.h"
#include "pieces_json.h"
#include "wire/grant.h"
#include "wire/json.h"
#include <stdio.h>
#include <string.h>

static const char *text_or(const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : text;
}

static const Pb__TaskGroup *group_of(const struct alloc_parts *p)
{
    for (size_t i = 0; p->job != NULL && i < p->job->n_task_groups; i++)
        if (strcmp(text_or(p->job->task_groups[i]->name, ""), text_or(p->alloc->task_group, "")) ==
            0)
            return p->job->task_groups[i];
    return NULL;
}

static json_t *name_of(const Pb__Alloc *a)
{
    json_t *name = json_sprintf("%s.%s[%u]", text_or(a->job_id, ""), text_or(a->task_group, ""),
                                a->name_index);
    return name == NULL ? json_text("") : name;
}

static json_t *tasks_of(const struct alloc_parts *p)
{
    if (p->tasks == NULL || p->tasks->n_tasks == 0)
        return json_null();
    json_t *states = json_object();
    for (size_t i = 0; i < p->tasks->n_tasks; i++) {
        json_t *state = wire_to_json(&p->tasks->tasks[i]->base);
        json_object_del(state, "Name");
        json_put(states, p->tasks->tasks[i]->name, state);
    }
    return states;
}

/* ---- networks and ports */

static const Pb__Port *given(const Pb__Alloc *a, const char *label)
{
    for (size_t i = 0; i < a->n_ports; i++)
        if (strcmp(text_or(a->ports[i]->label, ""), text_or(label, "")) == 0)
            return a->ports[i];
    return NULL;
}

static json_t *ports_json(const struct alloc_parts *p, Pb__Port *const *asked, size_t count)
{
    if (count == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const Pb__Port *port = given(p->alloc, asked[i]->label);
        json_t *shown = wire_to_json(&asked[i]->base);
        if (port != NULL)
            json_put(shown, "Value", json_integer(port->value));
        json_array_append_new(list, shown);
    }
    return list;
}

static json_t *networks_json(const struct alloc_parts *p)
{
    const Pb__TaskGroup *group = group_of(p);
    if (group == NULL || group->n_networks == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < group->n_networks; i++) {
        const Pb__Network *n = group->networks[i];
        json_t *network = wire_to_json(&n->base);
        json_put(network, "IP", json_text(p->node_ip));
        json_put(network, "DynamicPorts", ports_json(p, n->dynamic_ports, n->n_dynamic_ports));
        json_put(network, "ReservedPorts", ports_json(p, n->reserved_ports, n->n_reserved_ports));
        json_array_append_new(list, network);
    }
    return list;
}

static json_t *host_ports_json(const struct alloc_parts *p)
{
    const Pb__Alloc *a = p->alloc;
    if (a->n_ports == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_ports; i++)
        json_array_append_new(list,
                              json_pack("{so,so,si,si}", "HostIP", json_text(p->node_ip), "Label",
                                        json_text(a->ports[i]->label), "To", (int)a->ports[i]->to,
                                        "Value", (int)a->ports[i]->value));
    return list;
}

/* ---- resources */

static json_t *task_resources_json(const Pb__Alloc *a, const Pb__TaskGroup *group,
                                   const Pb__Task *t)
{
    const Pb__Resources *r = t->resources;
    const Pb__TaskGrant *g = grant_of(a, t->name);
    return json_pack("{s{si,so},so,s{si,si},sn}", "Cpu", "CpuShares", (int)task_cpu(a, group, t),
                     "ReservedCores", granted_cores_json(g), "Devices", granted_devices_json(g),
                     "Memory", "MemoryMB", r == NULL ? 0 : (int)r->memory_mb, "MemoryMaxMB",
                     (int)grants_memory_max_mb(a->grants, a->n_grants, t->name), "Networks");
}

static uint32_t disk_mb(const struct alloc_parts *p)
{
    return p->alloc->resources == NULL ? 0 : p->alloc->resources->disk_mb;
}

json_t *alloc_resources_json(const struct alloc_parts *p)
{
    const Pb__TaskGroup *group = group_of(p);
    json_t *tasks = json_object(), *lifecycles = json_object();
    for (size_t i = 0; group != NULL && i < group->n_tasks; i++) {
        const Pb__Task *t = group->tasks[i];
        json_put(tasks, t->name, task_resources_json(p->alloc, group, t));
        json_put(lifecycles, t->name,
                 t->lifecycle == NULL ? json_null() : wire_to_json(&t->lifecycle->base));
    }
    return json_pack("{s{si,so,so},so,so}", "Shared", "DiskMB", (int)disk_mb(p), "Networks",
                     networks_json(p), "Ports", host_ports_json(p), "TaskLifecycles", lifecycles,
                     "Tasks", tasks);
}

/* The older form: one flat object. */
static json_t *flat_resources_json(const struct alloc_parts *p, bool shared)
{
    const Pb__Amount *a = p->alloc->resources;
    int cpu = shared || a == NULL ? 0 : (int)a->cpu;
    int memory = shared || a == NULL ? 0 : (int)a->memory_mb;
    return json_pack("{si,si,sn,si,si,si,si,so}", "CPU", cpu, "Cores", 0, "Devices", "DiskMB",
                     (int)disk_mb(p), "IOPS", 0, "MemoryMB", memory, "MemoryMaxMB", memory,
                     "Networks", networks_json(p));
}

static json_t *flat_tasks_json(const struct alloc_parts *p)
{
    const Pb__TaskGroup *group = group_of(p);
    Pb__Resources none = PB__RESOURCES__INIT;
    json_t *tasks = json_object();
    for (size_t i = 0; group != NULL && i < group->n_tasks; i++) {
        const Pb__Resources *r = group->tasks[i]->resources;
        json_put(tasks, group->tasks[i]->name, wire_to_json(r == NULL ? &none.base : &r->base));
    }
    return tasks;
}

static json_t *metrics_json(const struct alloc_parts *p)
{
    Pb__PlacementMetrics none = PB__PLACEMENT_METRICS__INIT;
    const Pb__PlacementMetrics *m = &none;
    for (size_t i = 0; p->eval != NULL && i < p->eval->n_placed_groups; i++)
        if (strcmp(text_or(p->eval->placed_groups[i]->task_group, ""),
                   text_or(p->alloc->task_group, "")) == 0)
            m = p->eval->placed_groups[i];
    json_t *tree = wire_to_json(&m->base);
    json_object_del(tree, "TaskGroup");
    return tree;
}

/* ---- the two forms */

static json_t *common_json(const struct alloc_parts *p, bool with_tasks)
{
    json_t *tree = wire_to_json(&p->alloc->base);
    json_put(tree, "Name", name_of(p->alloc));
    json_put(tree, "NodeName", json_text(p->node_name));
    json_put(tree, "TaskStates", with_tasks ? tasks_of(p) : json_null());
    return tree;
}

static json_t *true_or_null(bool is)
{
    return is ? json_true() : json_null();
}

static bool has_transition(const Pb__Alloc *a)
{
    return a->migrate || a->stop_wanted || a->reschedule;
}

static json_t *transition_json(const Pb__Alloc *a)
{
    return json_pack("{so,so,sn}", "ForceReschedule", true_or_null(a->reschedule), "Migrate",
                     true_or_null(a->migrate || a->stop_wanted), "Reschedule");
}

static json_t *or_null(const ProtobufCMessage *m)
{
    return m == NULL ? json_null() : wire_to_json(m);
}

json_t *alloc_stub_json(const struct alloc_parts *p, bool with_resources, bool with_tasks)
{
    json_t *tree = common_json(p, with_tasks);
    json_object_del(tree, "AllocModifyIndex");
    json_object_del(tree, "PreviousAllocation");
    json_object_del(tree, "NextAllocation");
    json_put(tree, "DesiredDescription", json_text(p->alloc->desired_description));
    json_object_del(tree, "DeploymentID");
    json_put(
        tree, "DeploymentStatus",
        or_null(p->alloc->deployment_status == NULL ? NULL : &p->alloc->deployment_status->base));
    json_put(tree, "DesiredTransition", transition_json(p->alloc));
    json_put(tree, "FollowupEvalID", json_id_of(p->alloc->follow_up_eval));
    json_put(tree, "JobType", json_text(p->job_type));
    json_put(tree, "JobVersion", json_integer((json_int_t)p->alloc->job_version));
    if (p->alloc->n_preempted_allocs == 0)
        json_put(tree, "PreemptedAllocations", json_null());
    json_put(tree, "PreemptedByAllocation", json_id_of(p->alloc->preempted_by));
    json_put(
        tree, "RescheduleTracker",
        or_null(p->alloc->reschedule_tracker == NULL ? NULL : &p->alloc->reschedule_tracker->base));
    if (with_resources)
        json_put(tree, "AllocatedResources", alloc_resources_json(p));
    return tree;
}

/* Empty where it uses the node's network. */
static json_t *network_status_json(const struct alloc_parts *p)
{
    const Pb__NetworkStatus none = PB__NETWORK_STATUS__INIT;
    const Pb__NetworkStatus *s =
        p->tasks != NULL && p->tasks->network_status != NULL ? p->tasks->network_status : &none;
    json_t *tree = wire_to_json(&s->base);
    if (s->address_ipv6 == NULL)
        json_object_del(tree, "AddressIPv6");
    return tree;
}

json_t *alloc_full_json(const struct alloc_parts *p)
{
    json_t *tree = common_json(p, true);
    json_put(tree, "AllocatedResources", alloc_resources_json(p));
    json_put(tree, "Job", p->job == NULL ? json_null() : wire_to_json(&p->job->base));
    json_put(tree, "Metrics", metrics_json(p));
    if (has_transition(p->alloc))
        json_put(tree, "DesiredTransition", transition_json(p->alloc));
    json_put(tree, "NetworkStatus", network_status_json(p));
    json_put(tree, "Resources", flat_resources_json(p, false));
    json_put(tree, "SharedResources", flat_resources_json(p, true));
    json_put(tree, "TaskResources", flat_tasks_json(p));
    return tree;
}
