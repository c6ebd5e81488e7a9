#include "base/calendar.h"
#include "base/zone.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Test(calendar, goes_there_and_back)
{
    cr_assert_eq(days_of_date(1970, 1, 1), 0);
    cr_assert_eq(days_of_date(2000, 3, 1), 11017);
    cr_assert_eq(days_of_date(1600, 2, 29), -135081);
    for (int64_t days = -800000; days < 800000; days += 13) {
        struct date d = date_of_days(days);
        cr_assert_eq(days_of_date(d.year, d.month, d.day), days, "%lld", (long long)days);
        cr_assert(d.month >= 1 && d.month <= 12 && d.day >= 1 &&
                  d.day <= days_in_month(d.year, d.month));
    }
}

Test(zone, refuses_what_is_no_zone)
{
    static const char *const names[] = {
        "Mars/Base", "../../../etc/passwd", "/etc/localtime", "zone.tab",
        "Europe",    "Europe/Paris\n",      "Local",          "right/Europe/Paris"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct zone *z = NULL;
        struct reason why = {""};
        cr_assert_neq(zone_open(&z, names[i], &why), OK, "%s", names[i]);
        cr_assert_null(z);
        cr_assert_eq(strncmp(why.text, "unknown time zone ", 18), 0, "%s", why.text);
    }
}

/* The C library reads the same tables, one zone at a time. */
Test(zone, knows_what_the_system_knows)
{
    static const char *const names[] = {
        "UTC",          "Europe/Paris",        "America/New_York",  "Australia/Lord_Howe",
        "Asia/Kolkata", "America/Sao_Paulo",   "Africa/Casablanca", "Europe/Dublin",
        "Pacific/Apia", "Antarctica/Troll",    "America/Nuuk",      "Asia/Gaza",
        "EST5EDT",      "America/Los_Angeles", "Africa/Cairo",      "Etc/GMT+5",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct zone *z = NULL;
        struct reason why = {""};
        cr_assert_eq(zone_open(&z, names[i], &why), OK, "%s", why.text);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t t = 0; t < INT64_C(4102444800); t += 86400 * 5 + 1234) {
            struct zone_span s = zone_span_at(z, t);
            const int64_t look[] = {t, s.begin, s.end - 1, s.end};
            cr_assert(s.begin <= t && t < s.end, "%s at %lld", names[i], (long long)t);
            for (size_t k = 0; k < COUNT_OF(look); k++) {
                time_t when = (time_t)look[k];
                struct tm local;
                if (look[k] < 0 || look[k] > INT64_C(4102444800))
                    continue;
                localtime_r(&when, &local);
                cr_assert_eq(zone_span_at(z, look[k]).offset, local.tm_gmtoff,
                             "%s at %lld: %d, not %ld", names[i], (long long)look[k],
                             zone_span_at(z, look[k]).offset, local.tm_gmtoff);
            }
        }
        zone_free(z);
    }
}

Test(zone, writes_times_with_their_offset)
{
    struct zone *z = NULL;
    struct reason why;
    char text[ZONE_TIME_SIZE];
    cr_assert_eq(zone_open(&z, "America/St_Johns", &why), OK);
    zone_format(z, 1798761600, text);
    cr_assert_str_eq(text, "2026-12-31T20:30:00-03:30");
    zone_format(NULL, 1798761600, text);
    cr_assert_str_eq(text, "2027-01-01T00:00:00Z");
    zone_free(z);
}
