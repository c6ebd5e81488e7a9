/* The rule: snake_case becomes PascalCase with the usual acronyms, the suffixes _ns and _json fall
 * away. Everything that does not follow from it is a line of one of the tables here. */
#include "wire/names.h"
#include "base/err.h"
#include "question.pb-c.h"
#include "types.pb-c.h"
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct rule {
    const char *message, *field; /* field NULL: a constant called name */
    const char *name;            /* NULL: by the rule */
    enum json_kind kind;         /* PLAIN: by the field */
    unsigned flags;
    const char *constant; /* also: what is printed when the field is unset */
    const char *key, *value;
    const char *go_type;
};

#define HIDE(m, f)                                                                                 \
    {                                                                                              \
        .message = m, .field = f, .flags = JSON_HIDDEN                                             \
    }
#define OMIT(m, f, n)                                                                              \
    {                                                                                              \
        .message = m, .field = f, .name = n, .flags = JSON_OMIT_EMPTY                              \
    }
#define OWN(m, f)                                                                                  \
    {                                                                                              \
        .message = m, .field = f, .flags = JSON_NO_INPUT                                           \
    }
#define ALWAYS(m, n, text)                                                                         \
    {                                                                                              \
        .message = m, .name = n, .constant = text                                                  \
    }
#define RENAME(m, f, n)                                                                            \
    {                                                                                              \
        .message = m, .field = f, .name = n                                                        \
    }
#define TIME_OF(m, f)                                                                              \
    {                                                                                              \
        .message = m, .field = f, .kind = JSON_TIME                                                \
    }
#define PAIRS(m, f, n, k, v, fl)                                                                   \
    {                                                                                              \
        .message = m, .field = f, .name = n, .kind = JSON_MAP, .key = k, .value = v, .flags = fl   \
    }
#define KEYED(m, f, n, k, fl)                                                                      \
    {                                                                                              \
        .message = m, .field = f, .name = n, .kind = JSON_KEYED, .key = k, .flags = fl             \
    }
#define UNSET(m, f, text)                                                                          \
    {                                                                                              \
        .message = m, .field = f, .constant = text                                                 \
    }
#define GO(m, f, type)                                                                             \
    {                                                                                              \
        .message = m, .field = f, .go_type = type                                                  \
    }

static const struct rule rules[] = {
    {.message = "Job", .field = "payload", .kind = JSON_BASE64},
    {.message = "Job", .field = "update", .flags = JSON_ZERO_STRUCT},
    {.message = "Job", .field = "reschedule", .flags = JSON_NO_OUTPUT},
    {.message = "Job", .field = "migrate", .flags = JSON_NO_OUTPUT},
    OMIT("Job", "scheduler_algorithm", NULL), /* ours: the recorded jobs have none; so with these */
    OMIT("Job", "node_pool", NULL),
    OMIT("Job", "depends_on", NULL),
    OMIT("Periodic", "specs", NULL),
    OMIT("ParameterizedJob", "max_running", NULL),
    HIDE("Job", "last_launch"),
    HIDE("Job", "idempotency_token"),
    UNSET("Job", "namespace", "\"default\""),
    UNSET("Job", "region", "\"global\""),
    OWN("Job", "version"),
    OWN("Job", "stop"),
    OWN("Job", "stable"),
    OWN("Job", "status"),
    OWN("Job", "status_description"),
    OWN("Job", "submit_time"),
    OWN("Job", "create_index"),
    OWN("Job", "modify_index"),
    OWN("Job", "job_modify_index"),
    OWN("Job", "nomad_token_id"),
    {.message = "TaskGroup", .field = "shutdown_delay_ns", .flags = JSON_NULLABLE},
    {.message = "TaskGroup", .field = "stop_after_client_disconnect_ns", .flags = JSON_NULLABLE},
    OMIT("TaskGroup", "disconnect", NULL),
    OMIT("TaskGroup", "max_run_duration_ns", NULL),
    KEYED("TaskGroup", "volumes", NULL, "name", JSON_KEEP_KEY),
    UNSET("TaskGroup", "consul_json", "{\"Namespace\":\"\"}"),
    {.message = "Task", .field = "config_json", .flags = JSON_FLOATS},
    OMIT("Task", "max_run_duration_ns", NULL),
    OMIT("ChildrenSummary", "waiting", NULL),
    OMIT("LogConfig", "disabled", NULL),
    OMIT("LogConfig", "forward", NULL),
    OMIT("LogConfig", "facility", NULL),
    OMIT("LogConfig", "tag", NULL),
    OMIT("Template", "uid", NULL),
    OMIT("Template", "gid", NULL),
    OMIT("Template", "err_missing_key", NULL),
    OMIT("Artifact", "getter_insecure", NULL),
    OMIT("Artifact", "chown", NULL),
    OMIT("Network", "hostname", NULL),
    OMIT("Network", "cni_args", NULL),
    UNSET("Port", "host_network", "\"default\""),
    GO("Affinity", "weight", "int8"),
    GO("Spread", "weight", "int8"),
    GO("SpreadTarget", "percent", "uint8"),
    GO("RequestedDevice", "count", "uint64"),

    UNSET("JobSummary", "namespace", "\"default\""),
    KEYED("JobSummary", "summary", NULL, "name", JSON_EMPTY_MAP),
    UNSET("JobSummary", "children", "{\"Dead\":0,\"Pending\":0,\"Running\":0}"),

    {.message = "Namespace", .field = "hash", .kind = JSON_BASE64, .flags = JSON_NO_INPUT},
    OMIT("Namespace", "meta", NULL),
    PAIRS("NodePool", "meta", NULL, "key", "value", JSON_EMPTY_MAP),
    KEYED("Deployment", "task_groups", NULL, "name", JSON_EMPTY_MAP),
    UNSET("Deployment", "namespace", "\"default\""),
    ALWAYS("Deployment", "IsMultiregion", "false"),
    TIME_OF("DeploymentGroup", "require_progress_by"),

    HIDE("Node", "secret_id"),
    HIDE("Node", "total"),
    HIDE("Node", "reserved"),
    HIDE("Node", "cores"),
    HIDE("Node", "devices"),
    HIDE("Node", "reservable_cores"),
    KEYED("Node", "host_volumes", NULL, "name", JSON_KEEP_KEY),
    OMIT("Node", "node_pool", NULL),
    HIDE("Node", "networks"),
    HIDE("Node", "reserved_ports"),
    HIDE("Node", "version"),
    RENAME("Node", "eligibility", "SchedulingEligibility"),
    KEYED("Node", "drivers", NULL, "name", JSON_EMPTY_MAP),
    ALWAYS("Node", "SecretID", "\"\""),
    ALWAYS("Node", "CSIControllerPlugins", "null"),
    ALWAYS("Node", "CSINodePlugins", "null"),
    TIME_OF("DrainStrategy", "force_deadline"),
    TIME_OF("DrainStrategy", "started_at"),
    TIME_OF("DrainRecord", "started_at"),
    TIME_OF("DrainRecord", "updated_at"),
    PAIRS("DrainRecord", "meta", NULL, "key", "value", 0),
    HIDE("Alloc", "migrate"),
    HIDE("Alloc", "reschedule"),
    HIDE("Alloc", "stop_wanted"),
    HIDE("Alloc", "score"),
    HIDE("Alloc", "grants"),
    HIDE("Alloc", "ended_at"),
    HIDE("Alloc", "unreachable_since"),
    OMIT("Alloc", "deployment_id", NULL),
    OMIT("Alloc", "deployment_status", NULL),
    OMIT("Alloc", "follow_up_eval", "FollowupEvalID"),
    OMIT("Alloc", "reschedule_tracker", NULL),
    {.message = "DeploymentStatus", .field = "healthy", .flags = JSON_NULLABLE},
    TIME_OF("DeploymentStatus", "timestamp"),
    {.message = "ScalingEvent", .field = "meta_json", .flags = JSON_FLOATS},
    ALWAYS("Node", "TLSEnabled", "false"),
    TIME_OF("DriverInfo", "update_time"),
    TIME_OF("NodeEvent", "timestamp"),

    PAIRS("TaskEvent", "details", NULL, "key", "value", JSON_EMPTY_MAP),
    ALWAYS("TaskEvent", "DiskLimit", "0"),
    ALWAYS("TaskEvent", "DownloadError", "\"\""),
    ALWAYS("TaskEvent", "FailedSibling", "\"\""),
    ALWAYS("TaskEvent", "GenericSource", "\"\""),
    ALWAYS("TaskEvent", "TaskSignal", "\"\""),
    ALWAYS("TaskEvent", "TaskSignalReason", "\"\""),
    ALWAYS("TaskEvent", "VaultError", "\"\""),
    TIME_OF("TaskState", "last_restart"),
    TIME_OF("TaskState", "started_at"),
    TIME_OF("TaskState", "finished_at"),
    ALWAYS("TaskState", "TaskHandle", "null"),
    KEYED("AllocTasks", "tasks", "TaskStates", "name", 0),
    OMIT("AllocTasks", "network_status", NULL),
    RENAME("NetworkStatus", "address_ipv6", "AddressIPv6"),
    OMIT("ChildrenSummary", "waiting", NULL),

    UNSET("Alloc", "namespace", "\"default\""),
    HIDE("Alloc", "job_version"),
    HIDE("Alloc", "job_create_index"),
    HIDE("Alloc", "name_index"),
    HIDE("Alloc", "resources"),
    HIDE("Alloc", "ports"),
    RENAME("Alloc", "desired", "DesiredStatus"),
    OMIT("Alloc", "desired_description", NULL),
    OMIT("Alloc", "previous_alloc", "PreviousAllocation"),
    OMIT("Alloc", "next_alloc", "NextAllocation"),
    HIDE("Alloc", "priority"),
    OMIT("Alloc", "preempted_by", "PreemptedByAllocation"),
    OMIT("Alloc", "preempted_allocs", "PreemptedAllocations"),

    UNSET("Eval", "namespace", "\"default\""),
    OMIT("Eval", "status_description", NULL),
    OMIT("Eval", "job_modify_index", NULL),
    OMIT("Eval", "node_id", NULL),
    OMIT("Eval", "node_modify_index", NULL),
    OMIT("Eval", "previous_eval", NULL),
    OMIT("Eval", "next_eval", NULL),
    OMIT("Eval", "blocked_eval", NULL),
    OMIT("Eval", "deployment_id", NULL),
    {.message = "Eval", .field = "wait_until", .kind = JSON_TIME, .flags = JSON_OMIT_EMPTY},
    KEYED("Eval", "failed_groups", "FailedTGAllocs", "task_group", JSON_OMIT_EMPTY),
    PAIRS("Eval", "queued", "QueuedAllocations", "name", "count", JSON_OMIT_EMPTY),
    PAIRS("Eval", "classes", "ClassEligibility", "class", "eligible", JSON_OMIT_EMPTY),
    OMIT("Eval", "escaped_class", "EscapedComputedClass"),
    OMIT("Eval", "snapshot_index", NULL),
    HIDE("Eval", "plans"),
    HIDE("Eval", "deliveries"),
    HIDE("Eval", "placed_groups"),
    OMIT("PreemptionConfig", "sysbatch_scheduler_enabled", "SysBatchSchedulerEnabled"),

    PAIRS("PlacementMetrics", "nodes_available", NULL, "name", "count", 0),
    PAIRS("PlacementMetrics", "class_filtered", NULL, "name", "count", 0),
    PAIRS("PlacementMetrics", "constraint_filtered", NULL, "name", "count", 0),
    PAIRS("PlacementMetrics", "class_exhausted", NULL, "name", "count", 0),
    PAIRS("PlacementMetrics", "dimension_exhausted", NULL, "name", "count", 0),
    RENAME("PlacementMetrics", "scores", "ScoreMetaData"),
    ALWAYS("PlacementMetrics", "QuotaExhausted", "null"),
    ALWAYS("PlacementMetrics", "ResourcesExhausted", "null"),
    ALWAYS("PlacementMetrics", "Scores", "null"),
    PAIRS("NodeScore", "parts", "Scores", "name", "score", JSON_EMPTY_MAP),
};

static const struct {
    const char *word, *name;
} acronyms[] = {
    {"id", "ID"},     {"mb", "MB"},     {"cpu", "CPU"},     {"ip", "IP"},
    {"ttl", "TTL"},   {"dns", "DNS"},   {"cidr", "CIDR"},   {"csi", "CSI"},
    {"http", "HTTP"}, {"iops", "IOPS"}, {"mbits", "MBits"},
};

/* Types whose name in Nomad's API differs from ours. */
static const struct {
    const char *ours, *go;
} go_names[] = {
    {"Periodic", "PeriodicConfig"},
    {"ParameterizedJob", "ParameterizedJobConfig"},
    {"Network", "NetworkResource"},
    {"Dns", "DNSConfig"},
    {"Lifecycle", "TaskLifecycle"},
    {"Artifact", "TaskArtifact"},
    {"DispatchPayload", "DispatchPayloadConfig"},
};

static const struct {
    const ProtobufCEnumDescriptor *type;
    const char *ours, *json;
} enum_names[] = {{&pb__eval__status__descriptor, "CANCELLED", "canceled"},
                  {&pb__alloc__client_status__descriptor, "UNREACHABLE", "unknown"}};

static const ProtobufCMessageDescriptor *const roots[] = {
    &pb__job__descriptor,
    &pb__job_summary__descriptor,
    &pb__node__descriptor,
    &pb__alloc__descriptor,
    &pb__alloc_tasks__descriptor,
    &pb__eval__descriptor,
    &pb__task_state__descriptor,
    &pb__node_usage__descriptor,
    &pb__group_why__descriptor,
    &pb__desired_updates__descriptor,
    &pb__scheduler_config__descriptor,
    &pb__deployment__descriptor,
    &pb__namespace__descriptor,
    &pb__node_pool__descriptor,
    &pb__scaling_event__descriptor,
};

#define PLAN_SLOTS 256u /* a power of two, several times the number of types */
static struct {
    pthread_once_t once;
    struct json_plan *slots[PLAN_SLOTS];
} plans = {.once = PTHREAD_ONCE_INIT};

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n > m && strcmp(text + n - m, suffix) == 0;
}

static size_t append_word(char *out, size_t used, const char *word, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(acronyms); i++)
        if (strlen(acronyms[i].word) == len && memcmp(acronyms[i].word, word, len) == 0)
            return used + (size_t)snprintf(out + used, 32 - used, "%s", acronyms[i].name);
    must(used + len < 32);
    memcpy(out + used, word, len);
    out[used] = (char)toupper((unsigned char)out[used]);
    out[used + len] = '\0';
    return used + len;
}

void json_name_of(const char *field_name, char out[32])
{
    size_t len = strlen(field_name), used = 0;
    if (has_suffix(field_name, "_ns"))
        len -= 3;
    else if (has_suffix(field_name, "_json"))
        len -= 5;
    out[0] = '\0';
    for (const char *word = field_name, *end = field_name + len; word < end;) {
        const char *stop = memchr(word, '_', (size_t)(end - word));
        if (stop == NULL)
            stop = end;
        used = append_word(out, used, word, (size_t)(stop - word));
        word = stop + 1;
    }
}

static const char *go_name_of(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < COUNT_OF(go_names); i++)
        if (strcmp(go_names[i].ours, type->short_name) == 0)
            return go_names[i].go;
    return type->short_name;
}

static const char *go_type_of_scalar(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_ENUM:
        return "string";
    case PROTOBUF_C_TYPE_BYTES:
        return "[]uint8";
    case PROTOBUF_C_TYPE_BOOL:
        return "bool";
    case PROTOBUF_C_TYPE_INT64:
        return has_suffix(f->name, "_ns") ? "time.Duration" : "int64";
    case PROTOBUF_C_TYPE_UINT64:
        return "uint64";
    case PROTOBUF_C_TYPE_DOUBLE:
        return "float64";
    default:
        return "int";
    }
}

static bool is_key_value(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_MESSAGE && f->descriptor == &pb__key_value__descriptor;
}

static const char *go_type_of(const ProtobufCFieldDescriptor *f)
{
    bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
    if (has_suffix(f->name, "_json"))
        return "map[string]interface {}";
    if (is_key_value(f))
        return "map[string]string";
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        char text[64];
        snprintf(text, sizeof(text), "%sapi.%s", repeated ? "[]*" : "",
                 go_name_of((const ProtobufCMessageDescriptor *)f->descriptor));
        return xstrdup(text);
    }
    return repeated ? "[]string" : go_type_of_scalar(f);
}

static enum json_kind kind_of(const ProtobufCFieldDescriptor *f)
{
    if (has_suffix(f->name, "_json"))
        return JSON_VERBATIM;
    if (has_suffix(f->name, "_ns"))
        return JSON_DURATION;
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return JSON_UUID;
    return is_key_value(f) ? JSON_MAP : JSON_PLAIN;
}

static const struct rule *rule_for(const char *message, const char *field)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (rules[i].field != NULL && strcmp(rules[i].message, message) == 0 &&
            strcmp(rules[i].field, field) == 0)
            return &rules[i];
    return NULL;
}

static void find_pair(struct json_field *out, const struct rule *r)
{
    const ProtobufCMessageDescriptor *element = out->field->descriptor;
    const char *key = r != NULL && r->key != NULL ? r->key : "key";
    const char *value = r != NULL && r->value != NULL ? r->value : "value";
    out->key = protobuf_c_message_descriptor_get_field_by_name(element, key);
    must(out->key != NULL);
    if (out->kind == JSON_MAP)
        out->value = protobuf_c_message_descriptor_get_field_by_name(element, value);
    must(out->kind != JSON_MAP || out->value != NULL);
}

static void plan_field(struct json_field *out, const char *message,
                       const ProtobufCFieldDescriptor *f)
{
    const struct rule *r = rule_for(message, f->name);
    *out = (struct json_field){.field = f, .kind = kind_of(f)};
    json_name_of(f->name, out->name);
    if (r != NULL) {
        out->flags = r->flags;
        out->constant = r->constant;
        if (r->kind != JSON_PLAIN)
            out->kind = r->kind;
        if (r->name != NULL)
            snprintf(out->name, sizeof(out->name), "%s", r->name);
        out->go_type = r->go_type;
    }
    if (out->go_type == NULL && (out->flags & JSON_HIDDEN) == 0)
        out->go_type = go_type_of(f);
    if (out->kind == JSON_MAP || out->kind == JSON_KEYED)
        find_pair(out, r);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct json_field *)a)->name, ((const struct json_field *)b)->name);
}

static struct json_plan *plan_new(const ProtobufCMessageDescriptor *type)
{
    struct json_plan *p = xcalloc(1, sizeof(*p));
    p->type = type;
    p->go_name = go_name_of(type);
    p->fields = xcalloc(type->n_fields + COUNT_OF(rules), sizeof(*p->fields));
    for (unsigned i = 0; i < type->n_fields; i++) {
        plan_field(&p->fields[p->count], type->short_name, &type->fields[i]);
        p->count += (p->fields[p->count].flags & JSON_HIDDEN) == 0;
    }
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (rules[i].field == NULL && strcmp(rules[i].message, type->short_name) == 0) {
            struct json_field *f = &p->fields[p->count++];
            *f = (struct json_field){
                .kind = JSON_CONSTANT, .constant = rules[i].constant, .flags = JSON_NO_INPUT};
            snprintf(f->name, sizeof(f->name), "%s", rules[i].name);
        }
    qsort(p->fields, p->count, sizeof(*p->fields), by_name);
    p->fields = xrealloc(p->fields, (p->count + 1) * sizeof(*p->fields));
    return p;
}

static size_t slot_of(const ProtobufCMessageDescriptor *type)
{
    size_t slot = ((uintptr_t)type >> 4) * 0x9e3779b97f4a7c15u >> 40 & (PLAN_SLOTS - 1);
    while (plans.slots[slot] != NULL && plans.slots[slot]->type != type)
        slot = (slot + 1) & (PLAN_SLOTS - 1);
    return slot;
}

static void plan_all_below(const ProtobufCMessageDescriptor *type)
{
    size_t slot = slot_of(type);
    if (plans.slots[slot] != NULL)
        return;
    plans.slots[slot] = plan_new(type);
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            plan_all_below(type->fields[i].descriptor);
}

static void plan_everything(void)
{
    for (size_t i = 0; i < COUNT_OF(roots); i++)
        plan_all_below(roots[i]);
}

const struct json_plan *json_plan_of(const ProtobufCMessageDescriptor *type)
{
    pthread_once(&plans.once, plan_everything);
    const struct json_plan *p = plans.slots[slot_of(type)];
    must(p != NULL); /* a type that is not reachable from a root */
    return p;
}

const struct json_field *json_plan_find(const struct json_plan *plan, const char *key)
{
    for (size_t i = 0; i < plan->count; i++)
        if (strcasecmp(plan->fields[i].name, key) == 0)
            return &plan->fields[i];
    return NULL;
}

const char *json_enum_name(const ProtobufCEnumDescriptor *type, int value, char buffer[32])
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
    if (v == NULL || value == 0)
        return "";
    for (size_t i = 0; i < COUNT_OF(enum_names); i++)
        if (enum_names[i].type == type && strcmp(enum_names[i].ours, v->name) == 0)
            return enum_names[i].json;
    snprintf(buffer, 32, "%s", v->name);
    for (char *c = buffer; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return buffer;
}

bool json_enum_value(const ProtobufCEnumDescriptor *type, const char *text, int *out)
{
    for (unsigned i = 0; i < type->n_values; i++) {
        char buffer[32];
        const char *name = json_enum_name(type, type->values[i].value, buffer);
        if (strcasecmp(name, text) == 0) {
            *out = type->values[i].value;
            return true;
        }
    }
    return false;
}
