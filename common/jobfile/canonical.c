#include "canonical.h"
#include "base/err.h"
#include "jobfile/jobfile.h"
#include <string.h>

#define SECOND 1000000000ll
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

/* What an unset field becomes. type NULL: in every type of job. A field listed here is always set
 * in a canonical job, so that an explicit 0 is not taken for an unset one. */
static const struct fallback {
    const char *message, *field, *type, *text;
    long long number;
} fallbacks[] = {
    {"Job", "namespace", NULL, "default", 0},
    {"Job", "region", NULL, "global", 0},
    {"Job", "type", NULL, "service", 0},
    {"Job", "priority", NULL, NULL, 50},
    {"Periodic", "enabled", NULL, NULL, 1},
    {"Periodic", "spec_type", NULL, "cron", 0},
    {"Periodic", "time_zone", NULL, "UTC", 0},
    {"ParameterizedJob", "payload", NULL, "optional", 0},
    {"Dependency", "condition", NULL, "complete", 0},
    {"Affinity", "weight", NULL, NULL, 50},
    {"Spread", "weight", NULL, NULL, 50},
    {"TaskGroup", "count", NULL, NULL, 1},
    {"UpdateStrategy", "stagger_ns", NULL, NULL, 30 * SECOND},
    {"UpdateStrategy", "max_parallel", NULL, NULL, 1},
    {"UpdateStrategy", "health_check", NULL, "checks", 0},
    {"UpdateStrategy", "min_healthy_time_ns", NULL, NULL, 10 * SECOND},
    {"UpdateStrategy", "healthy_deadline_ns", NULL, NULL, 5 * MINUTE},
    {"UpdateStrategy", "progress_deadline_ns", NULL, NULL, 10 * MINUTE},
    {"MigrateStrategy", "max_parallel", NULL, NULL, 1},
    {"MigrateStrategy", "health_check", NULL, "checks", 0},
    {"MigrateStrategy", "min_healthy_time_ns", NULL, NULL, 10 * SECOND},
    {"MigrateStrategy", "healthy_deadline_ns", NULL, NULL, 5 * MINUTE},
    {"DisconnectStrategy", "replace", NULL, NULL, 1},
    {"DisconnectStrategy", "reconcile", NULL, "best_score", 0},
    {"RestartPolicy", "attempts", "batch", NULL, 3},
    {"RestartPolicy", "attempts", NULL, NULL, 2},
    {"RestartPolicy", "interval_ns", "batch", NULL, 24 * HOUR},
    {"RestartPolicy", "interval_ns", NULL, NULL, 30 * MINUTE},
    {"RestartPolicy", "delay_ns", NULL, NULL, 15 * SECOND},
    {"RestartPolicy", "mode", NULL, "fail", 0},
    {"ReschedulePolicy", "attempts", "batch", NULL, 1},
    {"ReschedulePolicy", "attempts", NULL, NULL, 0},
    {"ReschedulePolicy", "interval_ns", "batch", NULL, 24 * HOUR},
    {"ReschedulePolicy", "interval_ns", NULL, NULL, 0},
    {"ReschedulePolicy", "delay_ns", "batch", NULL, 5 * SECOND},
    {"ReschedulePolicy", "delay_ns", NULL, NULL, 30 * SECOND},
    {"ReschedulePolicy", "delay_function", "batch", "constant", 0},
    {"ReschedulePolicy", "delay_function", NULL, "exponential", 0},
    {"ReschedulePolicy", "max_delay_ns", "batch", NULL, 0},
    {"ReschedulePolicy", "max_delay_ns", NULL, NULL, 1 * HOUR},
    {"ReschedulePolicy", "unlimited", "batch", NULL, 0},
    {"ReschedulePolicy", "unlimited", NULL, NULL, 1},
    {"EphemeralDisk", "size_mb", NULL, NULL, 300},
    {"LogConfig", "max_files", NULL, NULL, 10},
    {"LogConfig", "max_file_size_mb", NULL, NULL, 10},
    {"Task", "kill_timeout_ns", NULL, NULL, 5 * SECOND},
    {"Resources", "cpu", NULL, NULL, 100},
    {"Resources", "memory_mb", NULL, NULL, 300},
    {"RequestedDevice", "count", NULL, NULL, 1},
    {"Artifact", "getter_mode", NULL, "any", 0},
    {"Artifact", "relative_dest", NULL, "local/", 0},
    {"Template", "change_mode", NULL, "restart", 0},
    {"Template", "splay_ns", NULL, NULL, 5 * SECOND},
    {"Template", "perms", NULL, "0644", 0},
    {"Template", "left_delim", NULL, "{{", 0},
    {"Template", "right_delim", NULL, "}}", 0},
    {"VolumeMount", "propagation_mode", NULL, "private", 0},
};

/* Called for every field of every message of a job: most names differ in their first letter. */
static bool same(const char *a, const char *b)
{
    return a[0] == b[0] && strcmp(a, b) == 0;
}

static const struct fallback *find(const char *message, const char *field, const char *type)
{
    for (size_t i = 0; i < COUNT_OF(fallbacks); i++)
        if (same(fallbacks[i].field, field) && same(fallbacks[i].message, message) &&
            (fallbacks[i].type == NULL || type == NULL || strcmp(fallbacks[i].type, type) == 0))
            return &fallbacks[i];
    return NULL;
}

bool canonical_default(const char *message, const char *field, const char *job_type,
                       const char **text, long long *number)
{
    const struct fallback *f = find(message, field, job_type);
    if (f == NULL)
        return false;
    *text = f->text;
    *number = f->number;
    return true;
}

/* ---- fields by descriptor */

static bool is_wide(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_UINT64;
}

static bool has_of(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return *(protobuf_c_boolean *)((char *)m + f->quantifier_offset) != 0;
}

static void *value_of(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)m + f->offset;
}

static long long number_of(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    void *at = value_of(m, f);
    return is_wide(f) ? *(int64_t *)at : *(int32_t *)at; /* protobuf_c_boolean is an int */
}

static void set_has(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int has)
{
    *(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = has;
}

static void set_number(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, long long value)
{
    set_has(m, f, 1);
    if (is_wide(f))
        *(int64_t *)value_of(m, f) = value;
    else
        *(int32_t *)value_of(m, f) = (int32_t)value;
}

static bool is_number(const ProtobufCFieldDescriptor *f)
{
    return f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE &&
           f->type != PROTOBUF_C_TYPE_BYTES;
}

static void each_message(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                         void (*visit)(ProtobufCMessage *m))
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        ProtobufCMessage *one = *(ProtobufCMessage **)value_of(m, f);
        if (one != NULL)
            visit(one);
        return;
    }
    size_t count = *(size_t *)((char *)m + f->quantifier_offset);
    ProtobufCMessage **items = *(ProtobufCMessage ***)value_of(m, f);
    for (size_t i = 0; i < count; i++)
        visit(items[i]);
}

void canonical_drop_zeros(ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    if (strcmp(d->short_name, "KeyValue") == 0)
        return; /* an empty variable is not an unset one */
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            each_message(m, f, canonical_drop_zeros);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED)
            continue;
        else if (f->type == PROTOBUF_C_TYPE_STRING) {
            char **text = value_of(m, f);
            if (*text != NULL && **text == '\0')
                *text = NULL;
        } else if (is_number(f) && has_of(m, f) && number_of(m, f) == 0 &&
                   find(d->short_name, f->name, NULL) == NULL)
            set_has(m, f, 0);
    }
}

/* Unset fields get their defaults. */
static void fill(struct arena *a, ProtobufCMessage *m, const char *type)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const struct fallback *by = find(d->short_name, f->name, type);
        if (by == NULL)
            continue;
        if (f->type == PROTOBUF_C_TYPE_STRING) {
            char **text = value_of(m, f);
            if (*text == NULL)
                *text = arena_strdup(a, by->text);
        } else if (!has_of(m, f))
            set_number(m, f, by->number);
    }
}

/* Unset fields of m take those of from, which may be NULL. Both are flat. */
static void inherit(ProtobufCMessage *m, ProtobufCMessage *from)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; from != NULL && i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->type == PROTOBUF_C_TYPE_STRING) {
            char **text = value_of(m, f);
            if (*text == NULL)
                *text = *(char **)value_of(from, f);
        } else if (!has_of(m, f) && has_of(from, f))
            set_number(m, f, number_of(from, f));
    }
}

static ProtobufCMessage *made(struct arena *a, ProtobufCMessage *m,
                              const ProtobufCMessageDescriptor *d)
{
    if (m == NULL) {
        m = arena_alloc(a, d->sizeof_message);
        d->message_init(m);
    }
    return m;
}

/* The policy of a group or task: its own words, then those of the level above, then the defaults.
 */
#define POLICY(a, Type, type, own, above, job_type)                                                \
    do {                                                                                           \
        (own) = (Type *)made((a), (ProtobufCMessage *)(own), &type##__descriptor);                 \
        inherit((ProtobufCMessage *)(own), (ProtobufCMessage *)(above));                           \
        fill((a), (ProtobufCMessage *)(own), (job_type));                                          \
    } while (0)

/* ---- the job, from the outside in */

static void fill_constraints(struct arena *a, Pb__Affinity **affinities, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fill(a, &affinities[i]->base, NULL);
}

static void canonicalize_resources(struct arena *a, Pb__Resources *r)
{
    if (r->has_cores && r->cores > 0 && !r->has_cpu)
        set_number(&r->base,
                   protobuf_c_message_descriptor_get_field_by_name(r->base.descriptor, "cpu"),
                   0); /* cores stand instead of MHz */
    fill(a, &r->base, NULL);
    for (size_t i = 0; i < r->n_devices; i++) {
        fill(a, &r->devices[i]->base, NULL);
        fill_constraints(a, r->devices[i]->affinities, r->devices[i]->n_affinities);
    }
}

static void canonicalize_template(struct arena *a, Pb__Template *t)
{
    fill(a, &t->base, NULL);
    if (t->change_signal != NULL)
        for (char *c = t->change_signal; *c != '\0'; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
}

static void canonicalize_task(struct arena *a, Pb__TaskGroup *group, Pb__Task *task,
                              const char *type)
{
    fill(a, &task->base, type);
    POLICY(a, Pb__LogConfig, pb__log_config, task->log_config, NULL, type);
    POLICY(a, Pb__RestartPolicy, pb__restart_policy, task->restart_policy, group->restart_policy,
           type);
    task->resources =
        (Pb__Resources *)made(a, (ProtobufCMessage *)task->resources, &pb__resources__descriptor);
    canonicalize_resources(a, task->resources);
    fill_constraints(a, task->affinities, task->n_affinities);
    for (size_t i = 0; i < task->n_artifacts; i++)
        fill(a, &task->artifacts[i]->base, type);
    for (size_t i = 0; i < task->n_templates; i++)
        canonicalize_template(a, task->templates[i]);
    for (size_t i = 0; i < task->n_volume_mounts; i++)
        fill(a, &task->volume_mounts[i]->base, type);
}

static void canonicalize_policies(struct arena *a, Pb__Job *job, Pb__TaskGroup *group)
{
    bool service = strcmp(job->type, "service") == 0, batch = strcmp(job->type, "batch") == 0;
    POLICY(a, Pb__EphemeralDisk, pb__ephemeral_disk, group->ephemeral_disk, NULL, job->type);
    POLICY(a, Pb__RestartPolicy, pb__restart_policy, group->restart_policy, NULL, job->type);
    if (service || batch || group->reschedule_policy != NULL || job->reschedule != NULL)
        POLICY(a, Pb__ReschedulePolicy, pb__reschedule_policy, group->reschedule_policy,
               job->reschedule, job->type);
    if (service || group->migrate != NULL || job->migrate != NULL)
        POLICY(a, Pb__MigrateStrategy, pb__migrate_strategy, group->migrate, job->migrate,
               job->type);
    if (group->disconnect != NULL)
        fill(a, &group->disconnect->base, job->type);
    if (job->update != NULL || group->update != NULL)
        POLICY(a, Pb__UpdateStrategy, pb__update_strategy, group->update, job->update, job->type);
}

static void canonicalize_group(struct arena *a, Pb__Job *job, Pb__TaskGroup *group)
{
    fill(a, &group->base, job->type);
    canonicalize_policies(a, job, group);
    scaling_canonicalize(a, group);
    if (group->consul_json != NULL && strcmp(group->consul_json, "{\"Namespace\":\"\"}") == 0)
        group->consul_json = NULL;
    fill_constraints(a, group->affinities, group->n_affinities);
    for (size_t i = 0; i < group->n_spreads; i++)
        fill(a, &group->spreads[i]->base, job->type);
    for (size_t i = 0; i < group->n_tasks; i++)
        canonicalize_task(a, group, group->tasks[i], job->type);
}

/* Where a job has no update block, JSON shows one in which everything is zero, as Nomad's does:
 * read back, that is none too. One that was written has left out what it does not set. */
static bool is_block_of_zeros(const Pb__UpdateStrategy *u)
{
    return u != NULL && u->has_stagger_ns && u->stagger_ns == 0 && u->has_max_parallel &&
           u->max_parallel == 0 && u->has_healthy_deadline_ns && u->healthy_deadline_ns == 0 &&
           u->has_progress_deadline_ns && u->progress_deadline_ns == 0;
}

void job_canonicalize(struct arena *a, Pb__Job *job)
{
    canonical_drop_zeros(&job->base);
    if (is_block_of_zeros(job->update))
        job->update = NULL;
    if (job->name == NULL && job->id != NULL)
        job->name = arena_strdup(a, job->id);
    fill(a, &job->base, NULL);
    if (strcmp(job->type, "service") == 0 || job->update != NULL)
        POLICY(a, Pb__UpdateStrategy, pb__update_strategy, job->update, NULL, job->type);
    if (job->periodic != NULL)
        fill(a, &job->periodic->base, job->type);
    if (job->parameterized_job != NULL)
        fill(a, &job->parameterized_job->base, job->type);
    for (size_t i = 0; i < job->n_depends_on; i++)
        fill(a, &job->depends_on[i]->base, job->type);
    fill_constraints(a, job->affinities, job->n_affinities);
    for (size_t i = 0; i < job->n_spreads; i++)
        fill(a, &job->spreads[i]->base, job->type);
    for (size_t i = 0; i < job->n_task_groups; i++)
        canonicalize_group(a, job, job->task_groups[i]);
    job->reschedule = NULL; /* now in every group */
    job->migrate = NULL;
}
