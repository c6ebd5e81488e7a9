/* What a job says of the jobs that are dispatched from it, and of those it waits for. */
#include "base/err.h"
#include "problems.h"
#include <stdio.h>
#include <string.h>

enum { MOST_META_KEYS = 100, MOST_DEPENDENCIES = 16 };

static bool is_payload_rule(const char *text)
{
    return strcmp(text, "optional") == 0 || strcmp(text, "required") == 0 ||
           strcmp(text, "forbidden") == 0;
}

static bool is_one_of(const char *text, char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

static void validate_keys(struct texts *errors, const char *what, char *const *keys, size_t count)
{
    if (count > MOST_META_KEYS)
        texts_add(errors, "%s names %zu keys, at most %d are allowed", what, count, MOST_META_KEYS);
    for (size_t i = 0; i < count; i++)
        if (keys[i][0] == '\0')
            texts_add(errors, "%s has an empty key", what);
}

void validate_parameterized(struct validation *v)
{
    const Pb__ParameterizedJob *p = v->job->parameterized_job;
    struct texts errors = {.arena = v->arena};
    if (!is_payload_rule(p->payload))
        texts_add(&errors, "Unknown payload requirement: \"%.60s\"", p->payload);
    validate_keys(&errors, "meta_required", p->meta_required, p->n_meta_required);
    validate_keys(&errors, "meta_optional", p->meta_optional, p->n_meta_optional);
    for (size_t i = 0; i < p->n_meta_required; i++)
        if (is_one_of(p->meta_required[i], p->meta_optional, p->n_meta_optional))
            texts_add(&errors,
                      "Required and optional meta keys should be disjoint. Following keys exist in "
                      "both: %.60s",
                      p->meta_required[i]);
    if (is_negative(p->max_running))
        texts_add(&errors, "max_running is below 0: use 0 for any number of children at once");
    texts_nest(v->errors, &errors, "%s", "");
}

static void validate_dependency(struct texts *errors, const Pb__Job *job, size_t i)
{
    const Pb__Dependency *d = job->depends_on[i];
    if (d->job == NULL || d->job[0] == '\0') {
        texts_add(errors, "Missing job: name the one that is waited for");
        return;
    }
    if (job->id != NULL && strcmp(d->job, job->id) == 0)
        texts_add(errors, "The job waits for itself: \"%.60s -> %.60s\"", d->job, d->job);
    if (d->condition == NULL ||
        (strcmp(d->condition, "complete") != 0 && strcmp(d->condition, "healthy") != 0))
        texts_add(errors, "Unknown condition \"%.60s\": use \"complete\" or \"healthy\"",
                  d->condition == NULL ? "" : d->condition);
    for (size_t k = 0; k < i; k++)
        if (job->depends_on[k]->job != NULL && strcmp(job->depends_on[k]->job, d->job) == 0)
            texts_add(errors, "Job \"%.60s\" is waited for twice", d->job);
}

void validate_dependencies(struct validation *v)
{
    const Pb__Job *job = v->job;
    if (job->n_depends_on > MOST_DEPENDENCIES)
        texts_add(v->errors, "Job depends on %zu others, at most %d are allowed", job->n_depends_on,
                  MOST_DEPENDENCIES);
    for (size_t i = 0; i < job->n_depends_on && i < MOST_DEPENDENCIES; i++) {
        struct texts errors = {.arena = v->arena};
        validate_dependency(&errors, job, i);
        texts_nest(v->errors, &errors, "Dependency %zu validation failed: ", i + 1);
    }
}
