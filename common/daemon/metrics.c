#include "daemon/daemon.h"
#include "daemon/process.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void metric_add(struct metric *m, double by)
{
    m->value += by;
}

void metric_set(struct metric *m, double value)
{
    m->value = value;
}

void metric_sample(struct metric *m, double value)
{
    if (m->count == 0 || value < m->min)
        m->min = value;
    if (m->count == 0 || value > m->max)
        m->max = value;
    m->value += value;
    m->count++;
}

static double rss_bytes(void)
{
    char line[128] = "";
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    fclose(f);
    const char *resident = strchr(line, ' '); /* the second number, in pages */
    return resident != NULL ? strtod(resident, NULL) * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static Pb__Metric *metric_message(struct arena *a, const struct metric *m)
{
    Pb__Metric *out = arena_array(a, Pb__Metric, 1);
    pb__metric__init(out);
    out->name = (char *)m->name;
    out->help = (char *)m->help;
    out->has_kind = out->has_value = 1;
    out->kind = m->kind;
    out->value = m->value;
    out->has_count = out->has_min = out->has_max = m->kind == PB__METRIC__KIND__SAMPLE;
    out->count = m->count;
    out->min = m->min;
    out->max = m->max;
    return out;
}

void daemon_on_metrics(void *self, struct request *req)
{
    const struct process *p = process_current();
    struct metric own[] = {
        {.name = "process.rss_bytes",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "memory in use",
         .value = rss_bytes()},
        {.name = "process.cpu_seconds",
         .kind = PB__METRIC__KIND__COUNTER,
         .help = "processor time used",
         .value = cpu_seconds()},
        {.name = "process.uptime_seconds",
         .kind = PB__METRIC__KIND__GAUGE,
         .help = "time since the start",
         .value = (double)(clock_monotonic_ms() - p->started_ms) / 1000},
    };
    size_t count = 0;
    const struct metric *more =
        p->service->metrics != NULL ? p->service->metrics(p->self, &count) : NULL;
    struct arena *a = request_arena(req);
    Pb__Metrics out = PB__METRICS__INIT;
    out.service = (char *)p->service->name;
    out.metrics = arena_array(a, Pb__Metric *, COUNT_OF(own) + count);
    for (size_t i = 0; i < COUNT_OF(own); i++)
        out.metrics[out.n_metrics++] = metric_message(a, &own[i]);
    for (size_t i = 0; i < count; i++)
        out.metrics[out.n_metrics++] = metric_message(a, &more[i]);
    request_reply(req, &out.base, 0);
}
