/* What is wrong with a job as a whole, and what its parts share. The texts are Nomad's where Nomad
 * makes the same refusal. */
#include "base/duration.h"
#include "canonical.h"
#include "jobfile/scaling.h"
#include "problems.h"
#include "sched/constraint.h"
#include "sched/pattern.h"
#include "sched/periodic.h"
#include "sched/reconcile.h"
#include "sched/sched.h"
#include <stdio.h>
#include <string.h>

enum { LONGEST_ID = 255 };

void validate_name(struct texts *errors, const char *what, const char *name, size_t longest)
{
    if (strlen(name) > longest)
        texts_add(errors, "%s name is %zu bytes long, at most %zu are allowed: \"%.20s...\"", what,
                  strlen(name), longest, name);
    if (strchr(name, '/') != NULL)
        texts_add(errors, "%s name cannot include slashes", what);
    for (const char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            texts_add(errors, "%s name cannot include control characters", what);
            break;
        }
}

/* ---- constraints, affinities, spreads */

/* Each demand: an operator or none, then a number. */
static bool version_demands_are_valid(const char *demands)
{
    for (;;) {
        demands += strspn(demands, " \t=!<>~");
        demands += *demands == 'v';
        if (*demands < '0' || *demands > '9')
            return false;
        demands += strcspn(demands, ",");
        if (*demands++ == '\0')
            return true;
    }
}

static bool needs_both_sides(enum operand o)
{
    return operand_is_of_node(o) && o != OPERAND_IS_SET && o != OPERAND_IS_NOT_SET;
}

static void validate_pattern(struct texts *errors, const char *text)
{
    char why[192];
    struct arena *scratch = arena_new(8 << 20);
    if (pattern_new(scratch, text, why, sizeof(why)) == NULL)
        texts_add(errors, "Regular expression failed to compile: error parsing regexp: %s: `%.60s`",
                  why, text);
    arena_free(scratch);
}

static void validate_target(struct texts *errors, const char *target)
{
    if (target_is_mistaken(target))
        texts_add(errors,
                  "\"%.60s\" names nothing that a node has: use \"${attr.NAME}\", "
                  "\"${meta.NAME}\", \"${node.datacenter}\", \"${node.class}\", "
                  "\"${node.pool}\", \"${node.unique.id}\" or \"${node.unique.name}\"",
                  target);
}

/* A literal right side must be what the operator reads. */
static void validate_right(struct texts *errors, enum operand o, const char *right)
{
    char key[TARGET_LONGEST];
    if (right == NULL || target_key(right, key, sizeof(key)))
        return;
    if (o == OPERAND_REGEXP)
        validate_pattern(errors, right);
    if ((o == OPERAND_VERSION || o == OPERAND_SEMVER) && !version_demands_are_valid(right))
        texts_add(errors, "%s constraint is invalid: Malformed constraint: %.60s",
                  o == OPERAND_VERSION ? "Version" : "Semver", right);
}

/* What constraints and affinities share. */
static void validate_condition(struct texts *errors, const char *what, enum operand o,
                               const Pb__Constraint *c)
{
    if (o != OPERAND_DISTINCT_HOSTS && c->l_target == NULL)
        texts_add(errors, "No LTarget provided but is required by %s", what);
    if (needs_both_sides(o) && o != OPERAND_EQUAL && o != OPERAND_NOT_EQUAL && c->r_target == NULL)
        texts_add(errors, "Operator \"%s\" requires an RTarget", c->operand);
    validate_target(errors, c->l_target);
    validate_target(errors, c->r_target);
    validate_right(errors, o, c->r_target);
}

static void validate_constraint(struct texts *errors, const Pb__Constraint *c)
{
    char key[TARGET_LONGEST];
    enum operand o = operand_parse(c->operand);
    if (o == OPERAND_UNKNOWN)
        texts_add(errors, "Unknown constraint type \"%.60s\"", c->operand);
    validate_condition(errors, "constraint", o, c);
    if (o != OPERAND_DISTINCT_PROPERTY)
        return;
    if (c->l_target != NULL && !target_key(c->l_target, key, sizeof(key)))
        texts_add(errors,
                  "distinct_property needs an attribute such as \"${meta.rack}\", not \"%.60s\"",
                  c->l_target);
    if (distinct_property_limit(c->r_target) == 0)
        texts_add(errors,
                  "distinct_property allows a whole number of at least 1 per value, not \"%.60s\"",
                  c->r_target);
}

void validate_constraints(struct texts *errors, Pb__Constraint *const *constraints, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct texts inner = {.arena = errors->arena};
        validate_constraint(&inner, constraints[i]);
        texts_nest(errors, &inner, "Constraint %zu validation failed: ", i + 1);
    }
}

static void validate_affinity(struct texts *errors, const Pb__Affinity *f)
{
    Pb__Constraint c = PB__CONSTRAINT__INIT;
    c.l_target = f->l_target;
    c.r_target = f->r_target;
    c.operand = f->operand;
    enum operand o = operand_parse(f->operand);
    if (!operand_is_of_node(o))
        texts_add(errors, "Unknown affinity operator \"%.60s\"", f->operand);
    validate_condition(errors, "affinity", o, &c);
    if (f->weight == 0)
        texts_add(errors, "Affinity weight cannot be zero");
    if (f->weight < -100 || f->weight > 100)
        texts_add(errors, "Affinity weight must be within the range [-100,100]");
}

void validate_affinities(struct texts *errors, Pb__Affinity *const *affinities, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct texts inner = {.arena = errors->arena};
        validate_affinity(&inner, affinities[i]);
        texts_nest(errors, &inner, "Affinity %zu validation failed: ", i + 1);
    }
}

static void validate_attribute(struct texts *errors, const char *attribute)
{
    char key[TARGET_LONGEST];
    validate_target(errors, attribute);
    if (strncmp(attribute, "${", 2) != 0 || !target_key(attribute, key, sizeof(key)))
        texts_add(errors, "\"%.60s\" is no attribute: write it as \"${meta.rack}\"", attribute);
}

void validate_spreads(struct texts *errors, Pb__Spread *const *spreads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct texts inner = {.arena = errors->arena};
        const Pb__Spread *s = spreads[i];
        uint64_t sum = 0;
        for (size_t t = 0; t < s->n_spread_target; t++)
            sum += s->spread_target[t]->percent;
        if (s->attribute == NULL)
            texts_add(&inner, "Missing spread attribute");
        else
            validate_attribute(&inner, s->attribute);
        if (s->weight <= 0 || s->weight > 100)
            texts_add(&inner, "Spread stanza must have a positive weight from 0 to 100");
        if (sum > 100)
            texts_add(&inner,
                      "Sum of spread target percentages must not be greater than 100%%; got %llu%%",
                      (unsigned long long)sum);
        texts_nest(errors, &inner, "Spread %zu validation failed: ", i + 1);
    }
}

/* ---- policies that job, group and task share */

void validate_restart(struct texts *errors, const Pb__RestartPolicy *p)
{
    char interval[32], delay[32];
    duration_format(p->interval_ns, interval);
    duration_format(p->delay_ns, delay);
    if (p->mode == NULL || (strcmp(p->mode, "fail") != 0 && strcmp(p->mode, "delay") != 0)) {
        texts_add(errors, "Unsupported restart mode: \"%.60s\"", p->mode == NULL ? "" : p->mode);
        return;
    }
    if (is_negative(p->attempts)) {
        texts_add(errors, "Restart attempts can not be less than zero: %d < 0", (int)p->attempts);
        return;
    }
    if (p->attempts == 0 && strcmp(p->mode, "fail") != 0)
        texts_add(errors, "Restart policy \"%s\" with 0 attempts is ambiguous", p->mode);
    if (p->attempts == 0)
        return;
    if (p->delay_ns < 0)
        texts_add(errors, "Delay can not be less than zero (got %s)", delay);
    if (p->interval_ns < 5000000000ll)
        texts_add(errors, "Interval can not be less than 5s (got %s)", interval);
    if ((double)p->attempts * (double)p->delay_ns > (double)p->interval_ns)
        texts_add(
            errors,
            "Nomad can't restart the TaskGroup %u times in an interval of %s with a delay of %s",
            p->attempts, interval, delay);
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return text != NULL && (strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0);
}

void validate_update(struct texts *errors, const Pb__UpdateStrategy *u)
{
    char healthy[32], deadline[32];
    duration_format(u->min_healthy_time_ns, healthy);
    duration_format(u->healthy_deadline_ns, deadline);
    if (!is_one_of(u->health_check, "checks", "task_states", "manual"))
        texts_add(errors, "Invalid health check given: \"%.60s\"",
                  u->health_check == NULL ? "" : u->health_check);
    if (is_negative(u->max_parallel))
        texts_add(errors, "Max parallel can not be less than zero: %d < 0", (int)u->max_parallel);
    if (is_negative(u->canary))
        texts_add(errors, "Canary count can not be less than zero: %d < 0", (int)u->canary);
    if (u->canary == 0 && u->auto_promote)
        texts_add(errors, "Auto Promote requires a Canary count greater than zero");
    if (u->min_healthy_time_ns < 0)
        texts_add(errors, "Minimum healthy time may not be less than zero: %s", healthy);
    if (u->healthy_deadline_ns <= 0)
        texts_add(errors, "Healthy deadline must be greater than zero: %s", deadline);
    if (u->progress_deadline_ns < 0)
        texts_add(errors, "Progress deadline must be zero or greater");
    if (u->min_healthy_time_ns >= u->healthy_deadline_ns)
        texts_add(errors, "Minimum healthy time must be less than healthy deadline: %s > %s",
                  healthy, deadline);
    if (u->progress_deadline_ns != 0 && u->healthy_deadline_ns >= u->progress_deadline_ns)
        texts_add(errors, "Healthy deadline must be less than progress deadline");
    if (u->stagger_ns <= 0)
        texts_add(errors, "Stagger must be greater than zero");
}

/* ---- the job */

static void validate_identity(struct validation *v)
{
    const Pb__Job *job = v->job;
    if (job->id == NULL)
        texts_add(v->errors, "Missing job ID");
    else if (strchr(job->id, ' ') != NULL)
        texts_add(v->errors, "Job ID contains a space");
    if (job->id != NULL && strlen(job->id) > LONGEST_ID)
        texts_add(v->errors, "Job ID is %zu bytes long, at most %d are allowed: \"%.20s...\"",
                  strlen(job->id), LONGEST_ID, job->id);
    if (job->id != NULL && strchr(job->id, '/') != NULL)
        texts_add(v->errors, "Job ID cannot include slashes");
    for (const char *c = job->id; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            texts_add(v->errors, "Job ID contains a control character");
            break;
        }
    if (job->name == NULL)
        texts_add(v->errors, "Missing job name");
    else if (job->id == NULL || strcmp(job->id, job->name) != 0)
        validate_name(v->errors, "Job", job->name, LONGEST_ID);
}

#define CUSTOM_TYPE         "custom."
#define LONGEST_CUSTOM_TYPE 60

/* "custom.gang": of a scheduler that is not ours. The prefix keeps a misspelt "servce" a mistake.
 */
static bool is_custom_type(const char *type)
{
    const char *name = type + strlen(CUSTOM_TYPE);
    size_t len = strncmp(type, CUSTOM_TYPE, strlen(CUSTOM_TYPE)) == 0 ? strlen(name) : 0;
    return len > 0 && len <= LONGEST_CUSTOM_TYPE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

static void validate_type(struct validation *v)
{
    const char *type = v->job->type;
    if (strcmp(type, "service") == 0 || strcmp(type, "batch") == 0 || job_is_system(v->job) ||
        is_custom_type(type))
        return;
    if (strcmp(type, "_core") == 0)
        texts_add(v->errors, "job type cannot be core");
    else
        texts_add(v->errors, "Invalid job type: \"%.60s\"", type);
}

static void validate_datacenters(struct validation *v)
{
    if (v->job->n_datacenters == 0)
        texts_add(v->errors, "Missing job datacenters");
    for (size_t i = 0; i < v->job->n_datacenters; i++)
        if (v->job->datacenters[i][0] == '\0')
            texts_add(v->errors, "Job datacenter must be non-empty string");
}

static void validate_group_names(struct validation *v)
{
    Pb__TaskGroup **groups = v->job->task_groups;
    for (size_t i = 0; i < v->job->n_task_groups; i++) {
        if (groups[i]->name == NULL) {
            texts_add(v->errors, "Job task group %zu missing name", i + 1);
            continue;
        }
        for (size_t j = 0; j < i; j++)
            if (groups[j]->name != NULL && strcmp(groups[i]->name, groups[j]->name) == 0) {
                texts_add(v->errors, "Job task group %zu redefines '%.60s' from group %zu", i + 1,
                          groups[i]->name, j + 1);
                break;
            }
    }
}

static void validate_cron(struct texts *errors, const char *spec)
{
    struct reason why;
    if (spec != NULL && spec[0] != '\0' && periodic_check_spec(spec, &why) != OK)
        texts_add(errors, "%s", why.text);
}

static void validate_times(struct texts *errors, const Pb__Periodic *p)
{
    struct reason why;
    validate_cron(errors, p->spec);
    for (size_t i = 0; i < p->n_specs; i++)
        validate_cron(errors, p->specs[i]);
    if (periodic_check_zone(p->time_zone, &why) != OK)
        texts_add(errors, "%s", why.text);
}

/* What is not enabled may be unfinished. */
static void validate_periodic(struct validation *v)
{
    const Pb__Periodic *p = v->job->periodic;
    struct texts errors = {.arena = v->arena};
    struct periodic *ready = NULL;
    struct reason why;
    if (!p->enabled)
        return;
    if (strcmp(p->spec_type, "cron") != 0)
        texts_add(&errors, "Unknown periodic specification type \"%.40s\": use \"cron\"",
                  p->spec_type);
    else if (p->spec == NULL && p->n_specs == 0)
        texts_add(&errors, "Must specify a spec");
    else if (p->n_specs < PERIODIC_MOST_SPECS)
        validate_times(&errors, p);
    if (errors.count == 0 && periodic_new(&ready, p, &why) != OK)
        texts_add(&errors, "%s", why.text);
    else if (errors.count == 0 && periodic_next(ready, 0) == CRON_NEVER)
        texts_add(v->warnings, "Periodic: no time fits the cron spec, so the job is never launched "
                               "by itself");
    periodic_free(ready);
    texts_nest(v->errors, &errors, "%s", "");
}

static void validate_needs(struct validation *v)
{
    const Pb__Job *job = v->job;
    bool ends = strcmp(job->type, "batch") == 0 || strcmp(job->type, "sysbatch") == 0;
    if (job->periodic != NULL && !ends)
        texts_add(v->errors, "Periodic can only be used with \"batch\" scheduler");
    else if (job->periodic != NULL)
        validate_periodic(v);
    if (job->parameterized_job != NULL && !ends)
        texts_add(v->errors, "Parameterized job can only be used with \"batch\" scheduler");
    else if (job->parameterized_job != NULL)
        validate_parameterized(v);
    if (job->multiregion_json != NULL)
        texts_add(v->errors, "Multiregion " NOT_YET);
    validate_dependencies(v);
}

/* Canaries of all groups are promoted together, or none. */
static void warn_about_promotion(struct validation *v)
{
    size_t canaries = 0, alone = 0;
    for (size_t i = 0; i < v->job->n_task_groups; i++) {
        const Pb__UpdateStrategy *u = v->job->task_groups[i]->update;
        canaries += u != NULL && u->canary > 0;
        alone += u != NULL && u->canary > 0 && u->auto_promote;
    }
    if (alone > 0 && alone < canaries)
        texts_add(v->warnings,
                  "auto_promote must be true for all groups to enable automatic promotion");
}

/* What chooses among nodes means nothing where all of them are taken. */
static void validate_system(struct validation *v)
{
    const Pb__Job *job = v->job;
    if (!job_is_system(job))
        return;
    if (job->n_affinities > 0)
        texts_add(v->errors, "System jobs may not have an affinity stanza");
    if (job->n_spreads > 0)
        texts_add(v->errors, "System jobs may not have a spread stanza");
    for (size_t i = 0; i < job->n_task_groups; i++)
        if (job->task_groups[i]->count > 1)
            texts_add(
                v->errors,
                "Job task group %.60s has count %u. Count cannot exceed 1 with system scheduler",
                job->task_groups[i]->name == NULL ? "" : job->task_groups[i]->name,
                job->task_groups[i]->count);
}

/* All of it has to be one plan. */
static void validate_together(struct validation *v)
{
    uint64_t count = 0;
    for (size_t i = 0; i < v->job->n_task_groups; i++)
        count += v->job->task_groups[i]->count;
    if (v->job->all_at_once && !job_is_system(v->job) && count > SCHED_MOST_TOGETHER)
        texts_add(v->errors,
                  "all_at_once: %llu allocations are too many to be placed in one step: at most %d",
                  (unsigned long long)count, SCHED_MOST_TOGETHER);
}

static void validate_algorithm(struct validation *v)
{
    const char *name = v->job->scheduler_algorithm;
    if (name != NULL && strcmp(name, "binpack") != 0 && strcmp(name, "spread") != 0)
        texts_add(v->errors, "Unknown scheduler algorithm \"%.60s\": use \"binpack\" or \"spread\"",
                  name);
}

enum { MOST_GROUPS = 1000 };

void job_validate(struct arena *a, const Pb__Job *job, struct job_problems *out)
{
    struct texts errors = {.arena = a}, warnings = {.arena = a};
    struct validation v = {a, job, &errors, &warnings};
    validate_identity(&v);
    validate_type(&v);
    if (job->priority < 1 || job->priority > 100)
        texts_add(&errors, "Job priority must be between [1, 100]");
    validate_datacenters(&v);
    if (job->n_task_groups == 0)
        texts_add(&errors, "Missing job task groups");
    validate_constraints(&errors, job->constraints, job->n_constraints);
    validate_affinities(&errors, job->affinities, job->n_affinities);
    validate_spreads(&errors, job->spreads, job->n_spreads);
    if (job->n_task_groups > MOST_GROUPS)
        texts_add(&errors, "%zu task groups are too many: at most %d", job->n_task_groups,
                  MOST_GROUPS);
    else {
        validate_group_names(&v);
        for (size_t i = 0; i < job->n_task_groups; i++)
            validate_group(&v, job->task_groups[i]);
    }
    validate_system(&v);
    warn_about_promotion(&v);
    if (job_scaling_mistake(job) != NULL)
        texts_add(&errors, "%s", job_scaling_mistake(job));
    validate_together(&v);
    validate_algorithm(&v);
    validate_needs(&v);
    *out = (struct job_problems){errors.count, errors.items, warnings.count, warnings.items};
}
