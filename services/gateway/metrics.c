/* /v1/metrics: the numbers of this daemon and of all others of the server, in the two forms that
 * collectors of Nomad's know. */
#include "answer.h"
#include "nouns.h"
#include "peers.h"
#include "wire/json.h"
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct report {
    struct call_context *context;
    bool prometheus;
    char host[128];
    json_t *counters, *gauges, *samples;
    struct strbuf text;
};

static double finite_or_0(double v)
{
    return isfinite(v) ? v : 0;
}

static void add_json(struct report *r, const char *service, const Pb__Metric *m)
{
    json_t *name = json_sprintf("norn.%s", m->name == NULL ? "" : m->name);
    json_t *labels = json_pack("{ss,ss}", "host", r->host, "service", service);
    double value = finite_or_0(m->value), count = (double)m->count;
    if (m->kind == PB__METRIC__KIND__GAUGE) {
        json_array_append_new(
            r->gauges, json_pack("{so,so,sf}", "Labels", labels, "Name", name, "Value", value));
        return;
    }
    bool sample = m->kind == PB__METRIC__KIND__SAMPLE;
    double mean = sample && count > 0 ? value / count : value;
    json_array_append_new(sample ? r->samples : r->counters,
                          json_pack("{sI,so,sf,sf,sf,so,sf,sf,sf}", "Count",
                                    (json_int_t)(sample ? (double)m->count : value), "Labels",
                                    labels, "Max", sample ? finite_or_0(m->max) : value, "Mean",
                                    mean, "Min", sample ? finite_or_0(m->min) : value, "Name", name,
                                    "Rate", 0.0, "Stddev", 0.0, "Sum", value));
}

static void put_name(struct strbuf *out, const char *name)
{
    strbuf_puts(out, "norn_");
    for (; *name != '\0'; name++)
        strbuf_putc(out, isalnum((unsigned char)*name) ? *name : '_');
}

static void put_line(struct report *r, const char *name, const char *suffix, const char *service,
                     double value)
{
    put_name(&r->text, name);
    strbuf_printf(&r->text, "%s{service=\"%s\"} %.17g\n", suffix, service, value);
}

static void add_prometheus(struct report *r, const char *service, const Pb__Metric *m)
{
    static const char *const types[] = {"counter", "gauge", "summary"};
    const char *name = m->name == NULL ? "unnamed" : m->name;
    if ((unsigned)m->kind >= 3)
        return;
    strbuf_puts(&r->text, "# HELP ");
    put_name(&r->text, name);
    strbuf_putc(&r->text, ' ');
    for (const char *c = m->help == NULL ? "" : m->help; *c != '\0'; c++)
        strbuf_putc(&r->text, *c == '\n' || *c == '\\' ? ' ' : *c);
    strbuf_puts(&r->text, "\n# TYPE ");
    put_name(&r->text, name);
    strbuf_printf(&r->text, " %s\n", types[m->kind]);
    if (m->kind == PB__METRIC__KIND__SAMPLE) {
        put_line(r, name, "_sum", service, finite_or_0(m->value));
        put_line(r, name, "_count", service, (double)m->count);
    } else {
        put_line(r, name, "", service, finite_or_0(m->value));
    }
}

static void add(struct report *r, const char *service, const Pb__Metric *m)
{
    if (r->prometheus)
        add_prometheus(r, service, m);
    else
        add_json(r, service, m);
}

static void on_service(void *owner, const Pb__Metrics *metrics)
{
    for (size_t i = 0; i < metrics->n_metrics; i++)
        add(owner, metrics->service == NULL ? "" : metrics->service, metrics->metrics[i]);
}

static void add_own(struct report *r)
{
    size_t count;
    struct metric *own = gateway_metrics(r->context->gateway, &count);
    for (size_t i = 0; i < count; i++) {
        Pb__Metric m = PB__METRIC__INIT;
        m.name = (char *)(uintptr_t)own[i].name;
        m.help = (char *)(uintptr_t)own[i].help;
        m.kind = own[i].kind;
        m.value = own[i].value;
        m.count = own[i].count;
        m.min = own[i].min;
        m.max = own[i].max;
        add(r, "gateway", &m);
    }
}

static void on_all(void *owner)
{
    struct report *r = owner;
    struct exchange *x = r->context->x;
    if (r->prometheus) {
        exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &r->text);
        return;
    }
    char now[48];
    time_t seconds = (time_t)(loop_wall_ns(r->context->gateway->loop) / 1000000000);
    struct tm tm;
    strftime(now, sizeof(now), "%Y-%m-%d %H:%M:%S +0000 UTC", gmtime_r(&seconds, &tm));
    answer_json(x,
                json_pack("{so,so,so,so,ss}", "Counters", r->counters, "Gauges", r->gauges,
                          "Points", json_array(), "Samples", r->samples, "Timestamp", now),
                r->context->params.pretty);
}

void metrics_get(struct call_context *c)
{
    const char *format = exchange_arg(c->x, "format");
    struct report *r = arena_alloc(exchange_arena(c->x), sizeof(*r));
    r->context = c;
    r->prometheus = format != NULL && strcmp(format, "prometheus") == 0;
    if (!r->prometheus) {
        r->counters = json_array();
        r->gauges = json_array();
        r->samples = json_array();
    }
    gethostname(r->host, sizeof(r->host) - 1);
    add_own(r);
    peers_metrics(c->gateway, on_service, on_all, r);
}
