#include "show.h"
#include "base/clock.h"
#include "base/err.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND 1000000000ll

/* ---- JSON */

json_t *value_at(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value != NULL ? value : json_null();
}

const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

int64_t number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : (int64_t)json_number_value(value);
}

bool flag_at(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(4) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    putchar('\n');
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **sorted_keys(const json_t *object, size_t *count)
{
    const char *key;
    json_t *value;
    *count = 0;
    const char **keys = xcalloc(json_object_size(object) + 1, sizeof(*keys));
    json_object_foreach((json_t *)object, key, value) keys[(*count)++] = key;
    qsort(keys, *count, sizeof(*keys), compare_texts);
    return keys;
}

/* ---- texts */

enum { RING = 32, RING_TEXT = 256 };

static char *ring(void)
{
    static char buffers[RING][RING_TEXT];
    static unsigned next;
    return buffers[next++ % RING];
}

const char *show(const char *format, ...)
{
    char *out = ring();
    va_list args;
    va_start(args, format);
    vsnprintf(out, RING_TEXT, format, args);
    va_end(args);
    return out;
}

const char *show_id(const char *id, bool whole)
{
    enum { WHOLE = 36, VERSION_AT = 14 };
    if (whole || strlen(id) != WHOLE)
        return id;
    return show("%.*s", id[VERSION_AT] == '7' ? SHORT_TIMED_ID : SHORT_RANDOM_ID, id);
}

/* The two largest units, and the second only beside the first. */
static const char *show_units(int64_t seconds, int parts)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{31536000, "y"}, {2592000, "mo"}, {86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    char text[64] = "";
    size_t len = 0;
    int shown = 0;
    for (size_t i = 0; i < COUNT_OF(units) && shown < parts; i++) {
        int64_t n = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (n > 0)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%lld%s", (long long)n,
                                    units[i].unit);
        shown += n > 0 || shown > 0;
    }
    return show("%s", len > 0 ? text : "0s");
}

const char *show_seconds(int64_t seconds)
{
    return show_units(seconds, 6);
}

const char *show_age(int64_t ns, int64_t now_ns)
{
    int64_t seconds = now_ns > ns ? (now_ns - ns) / SECOND : 0;
    return show("%s ago", show_units(seconds, 2));
}

const char *show_time(int64_t ns, bool exact)
{
    if (ns <= 0)
        return "N/A";
    if (!exact)
        return show_age(ns, clock_wall_ns());
    time_t seconds = ns / SECOND;
    struct tm tm;
    char text[40], zone[8] = "Z";
    localtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    if (tm.tm_gmtoff != 0)
        snprintf(zone, sizeof(zone), "%c%02d:%02d", tm.tm_gmtoff < 0 ? '-' : '+',
                 abs((int)(tm.tm_gmtoff / 3600)) % 100, abs((int)(tm.tm_gmtoff / 60)) % 60);
    return show("%s%s", text, zone);
}

int64_t time_parse(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return 0;
    int64_t ns = 0;
    if (*rest == '.') {
        int64_t unit = SECOND / 10;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
            ns += (*rest - '0') * unit;
    }
    int64_t offset = 0;
    if (*rest == '+' || *rest == '-') { /* +hh:mm */
        char *minutes;
        long hours = strtol(rest + 1, &minutes, 10);
        if (*minutes == ':')
            offset = (*rest == '-' ? -1 : 1) * (hours * 3600 + strtol(minutes + 1, NULL, 10) * 60);
    }
    return (timegm(&tm) - offset) * SECOND + ns;
}

const char *show_bytes(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < COUNT_OF(units)) {
        bytes /= 1024;
        unit++;
    }
    return show(unit > 0 && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

/* ---- placements */

static void print_counts(const json_t *counts, const char *indent, const char *format)
{
    size_t count;
    const char **keys = sorted_keys(counts, &count);
    for (size_t i = 0; i < count; i++) {
        struct strbuf s = STRBUF_INIT;
        for (const char *f = format; *f != '\0'; f++) {
            if (*f == '$')
                strbuf_puts(&s, keys[i]);
            else if (*f == '#')
                strbuf_printf(&s, "%lld", (long long)number_at(counts, keys[i]));
            else
                strbuf_putc(&s, *f);
        }
        printf("%s* ", indent);
        print_clean(stdout, strbuf_text(&s));
        putchar('\n');
        strbuf_free(&s);
    }
    free(keys);
}

void print_placement_failure(const json_t *metrics, const char *indent)
{
    const json_t *available = value_at(metrics, "NodesAvailable");
    const char *dc;
    json_t *nodes;
    if (number_at(metrics, "NodesEvaluated") == 0)
        printf("%s* No nodes were eligible for evaluation\n", indent);
    json_object_foreach((json_t *)available, dc, nodes) if (json_integer_value(nodes) == 0)
        printf("%s* No nodes are available in datacenter \"%s\"\n", indent, dc);
    print_counts(value_at(metrics, "ClassFiltered"), indent,
                 "Class \"$\": # nodes excluded by filter");
    print_counts(value_at(metrics, "ConstraintFiltered"), indent,
                 "Constraint \"$\": # nodes excluded by filter");
    if (number_at(metrics, "NodesExhausted") > 0)
        printf("%s* Resources exhausted on %lld nodes\n", indent,
               (long long)number_at(metrics, "NodesExhausted"));
    print_counts(value_at(metrics, "ClassExhausted"), indent, "Class \"$\" exhausted on # nodes");
    print_counts(value_at(metrics, "DimensionExhausted"), indent,
                 "Dimension \"$\" exhausted on # nodes");
}

void print_placement_failures(const json_t *failed_groups, const char *indent, bool with_count)
{
    size_t count;
    const char **keys = sorted_keys(failed_groups, &count);
    for (size_t i = 0; i < count; i++) {
        const json_t *metrics = value_at(failed_groups, keys[i]);
        long long failed = number_at(metrics, "CoalescedFailures") + 1;
        printf("%sTask Group \"", indent);
        print_clean(stdout, keys[i]);
        if (with_count)
            printf("\" (failed to place %lld allocation%s):\n", failed, failed == 1 ? "" : "s");
        else
            printf("\":\n");
        print_placement_failure(metrics, show("%s  ", indent));
    }
    free(keys);
}

/* The names of the parts, as they appear first. */
static size_t score_names(const json_t *nodes, const char **names, size_t room)
{
    size_t count = 0, i;
    const json_t *node;
    json_array_foreach((json_t *)nodes, i, node)
    {
        size_t parts;
        const char **keys = sorted_keys(value_at(node, "Scores"), &parts);
        for (size_t k = 0; k < parts && count < room; k++) {
            size_t known = 0;
            while (known < count && strcmp(names[known], keys[k]) != 0)
                known++;
            if (known == count)
                names[count++] = keys[k];
        }
        free(keys);
    }
    return count;
}

bool print_scores(const json_t *metrics, bool whole_ids, bool colors)
{
    const json_t *nodes = value_at(metrics, "ScoreMetaData"), *node;
    const char *names[TABLE_MAX_COLUMNS - 2];
    struct strbuf heading = STRBUF_INIT;
    struct table t;
    size_t i;
    if (json_array_size(nodes) == 0)
        return false;
    size_t count = score_names(nodes, names, COUNT_OF(names));
    strbuf_puts(&heading, "Node");
    for (i = 0; i < count; i++)
        strbuf_printf(&heading, "|%s", names[i]);
    strbuf_puts(&heading, "|final score");
    table_init(&t, strbuf_text(&heading), colors);
    json_array_foreach((json_t *)nodes, i, node)
    {
        const char *cells[TABLE_MAX_COLUMNS] = {show_id(text_at(node, "NodeID"), whole_ids)};
        char texts[TABLE_MAX_COLUMNS][32];
        for (size_t k = 0; k < count; k++) {
            double score = json_number_value(json_object_get(value_at(node, "Scores"), names[k]));
            snprintf(texts[k], sizeof(texts[k]), "%.3g", score);
            cells[k + 1] = texts[k];
        }
        snprintf(texts[count], sizeof(texts[count]), "%.3g",
                 json_number_value(json_object_get(node, "NormScore")));
        cells[count + 1] = texts[count];
        table_row(&t, cells);
    }
    table_print(&t, stdout);
    table_free(&t);
    strbuf_free(&heading);
    return true;
}

/* ---- allocations */

static int by_age(const void *a, const void *b)
{
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    int64_t i = number_at(x, "CreateIndex"), k = number_at(y, "CreateIndex");
    if (i != k)
        return i > k ? -1 : 1;
    return strcmp(text_at(x, "ID"), text_at(y, "ID"));
}

void print_allocs(const json_t *allocs, bool whole, bool colors)
{
    struct table t;
    size_t count = json_array_size(allocs);
    const json_t **sorted = xcalloc(count + 1, sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(allocs, i);
    qsort(sorted, count, sizeof(*sorted), by_age);
    print_section(stdout, colors, "Allocations");
    table_init(
        &t,
        whole ? "ID|Eval ID|Node ID|Node Name|Task Group|Version|Desired|Status|Created|Modified"
              : "ID|Node ID|Task Group|Version|Desired|Status|Created|Modified",
        colors);
    for (size_t i = 0; i < count; i++) {
        const json_t *a = sorted[i];
        const json_t *job = value_at(a, "Job");
        const char *version =
            show("%lld", (long long)(json_is_object(job) ? number_at(job, "Version")
                                                         : number_at(a, "JobVersion")));
        const char *created = show_time(number_at(a, "CreateTime"), whole);
        const char *modified = show_time(number_at(a, "ModifyTime"), whole);
        if (whole)
            TABLE_ROW(&t, text_at(a, "ID"), text_at(a, "EvalID"), text_at(a, "NodeID"),
                      text_at(a, "NodeName"), text_at(a, "TaskGroup"), version,
                      text_at(a, "DesiredStatus"), text_at(a, "ClientStatus"), created, modified);
        else
            TABLE_ROW(&t, show_id(text_at(a, "ID"), false), show_id(text_at(a, "NodeID"), false),
                      text_at(a, "TaskGroup"), version, text_at(a, "DesiredStatus"),
                      text_at(a, "ClientStatus"), created, modified);
    }
    if (count == 0)
        printf("No allocations placed\n");
    else
        table_print(&t, stdout);
    table_free(&t);
    free(sorted);
}
