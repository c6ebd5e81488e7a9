/* The next time that fits, against a search minute by minute that asks the C library what the
 * clocks show. */
#include "base/cron.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES   400
#define MINUTES (12 * 24 * 60)

/* A field as it is written, and what it means. Numbers go from low to high, * means all. */
struct field {
    char text[64];
    bool fits[64], any, open;
};

static void make_field(struct prng *p, struct field *f, unsigned low, unsigned high, unsigned all)
{
    unsigned span = high - low + 1, from = low + (unsigned)prng_below(p, span);
    unsigned to = from + (unsigned)prng_below(p, high - from + 1);
    unsigned step = 1 + (unsigned)prng_below(p, 7);
    memset(f, 0, sizeof *f);
    switch (prng_below(p, 6)) {
    case 0:
        snprintf(f->text, sizeof f->text, "%u", from);
        to = from;
        break;
    case 1:
        snprintf(f->text, sizeof f->text, "%u-%u", from, to);
        step = 1;
        break;
    case 2:
        snprintf(f->text, sizeof f->text, "%u-%u/%u", from, to, step);
        break;
    case 3:
        snprintf(f->text, sizeof f->text, "*/%u", step);
        from = low, to = all, f->open = true;
        break;
    case 4:
        snprintf(f->text, sizeof f->text, "%u,%u", from, to);
        step = to > from ? to - from : 1;
        break;
    default:
        snprintf(f->text, sizeof f->text, "*");
        from = low, to = all, step = 1, f->any = f->open = true;
    }
    for (unsigned i = from; i <= to; i += step)
        f->fits[i] = true;
}

struct spec {
    struct field minute, hour, day, month, weekday;
};

static struct tm local_at(int64_t t)
{
    time_t when = (time_t)t;
    struct tm tm;
    localtime_r(&when, &tm);
    return tm;
}

static bool shows(const struct spec *s, const struct tm *tm)
{
    bool day = s->day.fits[tm->tm_mday], weekday = s->weekday.fits[tm->tm_wday];
    bool either = s->day.any || s->weekday.any ? day && weekday : day || weekday;
    return s->minute.fits[tm->tm_min] && s->hour.fits[tm->tm_hour] &&
           s->month.fits[tm->tm_mon + 1] && either;
}

static bool same_reading(const struct tm *a, const struct tm *b)
{
    return a->tm_min == b->tm_min && a->tm_hour == b->tm_hour && a->tm_yday == b->tm_yday;
}

/* Whether the clocks showed the same before. */
static bool is_repeated(int64_t t, const struct tm *tm)
{
    for (int64_t back = 1800; back <= 3 * 3600; back += 1800) {
        struct tm earlier = local_at(t - back);
        if (same_reading(&earlier, tm))
            return true;
    }
    return false;
}

/* Whether something was due in what the clocks have just left out. */
static bool is_made_up_for(const struct spec *s, int64_t t, const struct tm *tm)
{
    struct tm before = local_at(t - 60);
    for (long gone = before.tm_gmtoff; gone < tm->tm_gmtoff; gone += 60) {
        time_t reading = (time_t)(t + gone);
        struct tm missing;
        gmtime_r(&reading, &missing);
        if (shows(s, &missing))
            return true;
    }
    return false;
}

static bool is_due(const struct spec *s, int64_t t)
{
    struct tm tm = local_at(t);
    if (s->hour.open)
        return shows(s, &tm);
    return (shows(s, &tm) && !is_repeated(t, &tm)) || is_made_up_for(s, t, &tm);
}

static const char *const zones[] = {"UTC",
                                    "Europe/Paris",
                                    "America/New_York",
                                    "Australia/Lord_Howe",
                                    "Africa/Casablanca",
                                    "Pacific/Apia",
                                    "America/Sao_Paulo",
                                    "Asia/Kathmandu"};

/* Shortly before a change of the clocks, where there is one in the year that follows. */
static int64_t choose_start(struct prng *p, const struct zone *z)
{
    int64_t t = INT64_C(1262304000) + (int64_t)prng_below(p, 60u * 365 * 86400);
    struct zone_span s = zone_span_at(z, t);
    if (s.end < INT64_C(4000000000))
        t = s.end - (int64_t)prng_below(p, 5 * 86400);
    return t;
}

static void check_case(uint64_t seed)
{
    struct prng p;
    struct spec s;
    struct cron c;
    struct zone *z = NULL;
    struct reason why = {""};
    char text[400];
    prng_seed(&p, seed);
    make_field(&p, &s.minute, 0, 59, 59);
    make_field(&p, &s.hour, 0, prng_below(&p, 2) == 0 ? 23 : 3,
               23); /* the clocks are changed at night */
    make_field(&p, &s.day, 1, 31, 31);
    make_field(&p, &s.month, 1, 12, 12);
    make_field(&p, &s.weekday, 0, 6, 6);
    if (prng_below(&p, 3) > 0) { /* else it is seldom due within days */
        s.month = s.day;
        make_field(&p, &s.day, 1, 31, 31);
        memset(s.month.fits, true, sizeof s.month.fits);
        snprintf(s.month.text, sizeof s.month.text, "*");
    }
    snprintf(text, sizeof text, "%s %s %s %s %s", s.minute.text, s.hour.text, s.day.text,
             s.month.text, s.weekday.text);
    const char *name = zones[prng_below(&p, COUNT_OF(zones))];
    setenv("TZ", name, 1);
    tzset();
    cr_assert_eq(zone_open(&z, name, &why), OK, "%s", why.text);
    cr_assert_eq(cron_parse(&c, text, &why), OK, "%s: %s", text, why.text);
    int64_t start = choose_start(&p, z), got = start;
    for (int64_t t = start - start % 60 + 60; t < start + MINUTES * 60; t += 60) {
        if (got < t)
            got = cron_next(&c, z, got);
        cr_assert_eq(got == t, is_due(&s, t), "seed %llu: %s in %s: at %lld, next is %lld",
                     (unsigned long long)seed, text, name, (long long)t, (long long)got);
    }
    zone_free(z);
}

Test(cron, finds_all_that_a_search_by_minutes_finds, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= CASES; seed++)
        check_case(seed);
}
