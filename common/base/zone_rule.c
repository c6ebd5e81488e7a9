#include "zone_rule.h"
#include "base/calendar.h"
#include <stdlib.h>
#include <string.h>

/* ---- parsing */

static bool read_number(const char **at, unsigned low, unsigned high, unsigned *out)
{
    unsigned n = 0, digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 4; digits++)
        n = n * 10 + (unsigned)(*(*at)++ - '0');
    *out = n;
    return digits > 0 && n >= low && n <= high;
}

static bool read_char(const char **at, char c)
{
    if (**at != c)
        return false;
    ++*at;
    return true;
}

/* "-1", "+5:30", "167:59:59" */
static bool read_time(const char **at, unsigned most_hours, int32_t *out)
{
    unsigned hours, minutes = 0, seconds = 0;
    bool minus = read_char(at, '-');
    if (!minus)
        read_char(at, '+');
    if (!read_number(at, 0, most_hours, &hours) ||
        (read_char(at, ':') && !read_number(at, 0, 59, &minutes)) ||
        (read_char(at, ':') && !read_number(at, 0, 59, &seconds)))
        return false;
    int32_t all = (int32_t)(hours * 3600 + minutes * 60 + seconds);
    *out = minus ? -all : all;
    return true;
}

/* "CET", "<+03>" */
static bool skip_name(const char **at)
{
    const char *from = *at;
    if (read_char(at, '<')) {
        while (**at != '\0' && **at != '>')
            ++*at;
        return read_char(at, '>');
    }
    while ((**at >= 'A' && **at <= 'Z') || (**at >= 'a' && **at <= 'z'))
        ++*at;
    return *at - from >= 3;
}

/* ",M3.5.0/2" */
static bool read_edge(const char **at, struct zone_edge *e)
{
    bool ok = read_char(at, ',');
    e->second = 2 * 3600;
    if (ok && read_char(at, 'M')) {
        e->kind = EDGE_MONTH;
        ok = read_number(at, 1, 12, &e->month) && read_char(at, '.') &&
             read_number(at, 1, 5, &e->week) && read_char(at, '.') &&
             read_number(at, 0, 6, &e->day);
    } else if (ok) {
        e->kind = read_char(at, 'J') ? EDGE_JULIAN : EDGE_DAY;
        ok = read_number(at, e->kind == EDGE_JULIAN ? 1 : 0, 365, &e->day);
    }
    return ok && (!read_char(at, '/') || read_time(at, 167, &e->second));
}

bool zone_rule_parse(struct zone_rule *out, const char *text)
{
    struct zone_rule r = {0};
    const char *at = text;
    if (!skip_name(&at) || !read_time(&at, 24, &r.standard))
        return false;
    r.standard = r.summer = -r.standard; /* POSIX counts to the west */
    if (*at != '\0') {
        r.changes = true;
        if (!skip_name(&at))
            return false;
        r.summer = r.standard + 3600;
        if (*at != ',') {
            if (!read_time(&at, 24, &r.summer))
                return false;
            r.summer = -r.summer;
        }
        if (!read_edge(&at, &r.start) || !read_edge(&at, &r.end) || *at != '\0')
            return false;
    }
    *out = r;
    return true;
}

/* ---- the changes it makes */

static int64_t day_of_edge(const struct zone_edge *e, int64_t year)
{
    if (e->kind == EDGE_DAY)
        return days_of_date(year, 1, 1) + e->day;
    if (e->kind == EDGE_JULIAN)
        return days_of_date(year, 1, 1) + e->day - 1 + (year_is_leap(year) && e->day >= 60);
    int64_t first = days_of_date(year, e->month, 1);
    unsigned day = (e->day + 7 - weekday_of_days(first)) % 7 + (e->week - 1) * 7;
    while (day >= days_in_month(year, e->month)) /* week 5 is the last, be it the fourth */
        day -= 7;
    return first + day;
}

struct change {
    int64_t at;
    int32_t offset;
    bool to_summer;
};

/* Where both fall together, summer has the last word: so zones write that it never ends. */
static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->to_summer - y->to_summer;
}

#define YEARS_AROUND 2 /* changes may lie a week beyond their year */
#define CHANGES      (2 * (2 * YEARS_AROUND + 1))

struct zone_span zone_rule_span(const struct zone_rule *r, int64_t t)
{
    struct zone_span s = {INT64_MIN, INT64_MAX, r->standard, r->standard};
    struct change changes[CHANGES];
    size_t n = 0;
    if (!r->changes)
        return s;
    int64_t year = date_of_days(days_of_seconds(t)).year;
    for (int64_t y = year - YEARS_AROUND; y <= year + YEARS_AROUND; y++) {
        changes[n++] = (struct change){
            day_of_edge(&r->start, y) * DAY_S + r->start.second - r->standard, r->summer, true};
        changes[n++] = (struct change){day_of_edge(&r->end, y) * DAY_S + r->end.second - r->summer,
                                       r->standard, false};
    }
    qsort(changes, n, sizeof changes[0], compare_changes);
    for (size_t i = 0; i < n; i++) {
        if (changes[i].at > t) {
            s.end = changes[i].at;
            break;
        }
        s.begin = changes[i].at;
        s.before = s.offset;
        s.offset = changes[i].offset;
    }
    return s;
}
