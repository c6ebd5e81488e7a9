#include "periodic.h"
#include "wire/template.h"
#include <stdlib.h>

struct periodic {
    struct zone *zone;
    size_t count;
    struct cron specs[];
};

bool job_is_launched(const Pb__Job *job)
{
    return job_is_template(job) && job->parameterized_job == NULL && !job->stop &&
           job->periodic->enabled;
}

static enum err parse_spec(struct cron *out, const char *spec, struct reason *why)
{
    enum err e = cron_parse(out, spec, why);
    return e == OK ? OK : reason_add(why, e, "Invalid cron spec \"%.80s\"", spec);
}

static enum err open_zone(struct zone **out, const char *name, struct reason *why)
{
    enum err e = zone_open(out, name, why);
    return e == OK ? OK : reason_add(why, e, "Invalid time zone \"%.80s\"", name);
}

enum err periodic_check_spec(const char *spec, struct reason *why)
{
    struct cron parsed;
    return parse_spec(&parsed, spec, why);
}

enum err periodic_check_zone(const char *name, struct reason *why)
{
    struct zone *zone = NULL;
    enum err e = open_zone(&zone, name, why);
    zone_free(zone);
    return e;
}

static enum err add_spec(struct periodic *p, const char *spec, struct reason *why)
{
    enum err e = parse_spec(&p->specs[p->count], spec, why);
    p->count += e == OK;
    return e;
}

enum err periodic_new(struct periodic **out, const Pb__Periodic *from, struct reason *why)
{
    if (from->n_specs >= PERIODIC_MOST_SPECS)
        return reason_set(why, ERR_INVALID, "%zu cron specs are too many: at most %d",
                          from->n_specs, PERIODIC_MOST_SPECS);
    struct periodic *p = xcalloc(1, sizeof *p + (from->n_specs + 1) * sizeof p->specs[0]);
    enum err e = OK;
    if (from->spec != NULL && from->spec[0] != '\0')
        e = add_spec(p, from->spec, why);
    for (size_t i = 0; e == OK && i < from->n_specs; i++)
        e = add_spec(p, from->specs[i], why);
    if (e == OK)
        e = open_zone(&p->zone, from->time_zone, why);
    if (e == OK)
        *out = p;
    else
        periodic_free(p);
    return e;
}

void periodic_free(struct periodic *p)
{
    if (p == NULL)
        return;
    zone_free(p->zone);
    free(p);
}

const struct zone *periodic_zone(const struct periodic *p)
{
    return p->zone;
}

int64_t periodic_next(const struct periodic *p, int64_t after)
{
    int64_t first = CRON_NEVER;
    for (size_t i = 0; i < p->count; i++) {
        int64_t next = cron_next(&p->specs[i], p->zone, after);
        if (next < first)
            first = next;
    }
    return first;
}

/* By halves: what lies between may be one launch or millions. */
int64_t periodic_last(const struct periodic *p, int64_t after, int64_t until)
{
    int64_t found = CRON_NEVER;
    while (after < until) {
        int64_t middle = after + (until - after) / 2;
        int64_t next = periodic_next(p, middle);
        if (next <= until)
            after = found = next;
        else if (middle > after)
            until = middle;
        else
            break;
    }
    return found;
}
