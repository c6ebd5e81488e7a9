#include "base/calendar.h"
#include "base/cron.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* "2026-11-25T18:00:00" as seconds, by a clock that shows UTC. */
static int64_t at(const char *text)
{
    int year;
    unsigned month, day, hour, minute, second;
    must(sscanf(text, "%d-%u-%uT%u:%u:%u", &year, &month, &day, &hour, &minute, &second) == 6);
    return days_of_date(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
}

static void check_next(const char *spec, const char *zone, const char *after, const char *expected)
{
    struct cron c;
    struct zone *z = NULL;
    struct reason why = {""};
    char got[ZONE_TIME_SIZE] = "never";
    cr_assert_eq(cron_parse(&c, spec, &why), OK, "%s: %s", spec, why.text);
    cr_assert_eq(zone_open(&z, zone, &why), OK, "%s: %s", zone, why.text);
    int64_t next = cron_next(&c, z, at(after));
    if (next != CRON_NEVER)
        zone_format(z, next, got);
    zone_free(z);
    cr_assert_str_eq(got, expected, "%s in %s after %s: %s, not %s", spec, zone, after, got,
                     expected);
}

Test(cron, finds_the_next_time_that_fits)
{
    static const struct {
        const char *spec, *after, *next;
    } cases[] = {
        {"* * * * *", "2026-11-25T18:00:00", "2026-11-25T18:01:00Z"},
        {"* * * * *", "2026-11-25T18:00:59", "2026-11-25T18:01:00Z"},
        {"0 0 1 1 *", "2026-11-23T09:41:56", "2027-01-01T00:00:00Z"},
        {"*/15 * * * *", "2026-11-25T18:15:00", "2026-11-25T18:30:00Z"},
        {"7/20 * * * *", "2026-11-25T18:27:00", "2026-11-25T18:47:00Z"},
        {"10-20/5 3,22 * * *", "2026-11-25T03:20:00", "2026-11-25T22:10:00Z"},
        {"0 12 ? * MON-FRI", "2026-11-27T12:00:00", "2026-11-30T12:00:00Z"},
        {"0 12 * * 7", "2026-11-25T00:00:00", "2026-11-29T12:00:00Z"},
        {"0 12 * * 0", "2026-11-25T00:00:00", "2026-11-29T12:00:00Z"},
        {"0 12 * * sunday", "2026-11-25T00:00:00", "2026-11-29T12:00:00Z"},
        {"0 0 * FEB,march *", "2026-11-25T00:00:00", "2027-02-01T00:00:00Z"},
        {"0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00Z"},
        {"0 0 29 2 *", "2096-03-01T00:00:00", "never"},
        {"0 0 30 2 *", "2026-01-01T00:00:00", "never"},
        {"0 0 31 * *", "2026-04-01T00:00:00", "2026-05-31T00:00:00Z"},
        /* a day, or a weekday */
        {"0 0 13 * FRI", "2026-11-25T00:00:00", "2026-11-27T00:00:00Z"},
        {"0 0 13 * FRI", "2026-12-11T00:00:00", "2026-12-13T00:00:00Z"},
        /* the year comes last, and the second before seven */
        {"0 0 1 1 * 2031", "2026-11-25T00:00:00", "2031-01-01T00:00:00Z"},
        {"0 0 1 1 * 2025", "2026-11-25T00:00:00", "never"},
        {"0 0 1 1 * 2027-2099/3", "2027-06-01T00:00:00", "2030-01-01T00:00:00Z"},
        {"*/10 * * * * * *", "2026-11-25T18:00:05", "2026-11-25T18:00:10Z"},
        {"30 59 23 31 12 * 2026", "2026-11-25T18:00:05", "2026-12-31T23:59:30Z"},
        /* ends of months, working days, weekdays by their number */
        {"0 0 L * *", "2026-02-01T00:00:00", "2026-02-28T00:00:00Z"},
        {"0 0 L 2 *", "2027-03-01T00:00:00", "2028-02-29T00:00:00Z"},
        {"0 0 LW * *", "2026-05-02T00:00:00", "2026-05-29T00:00:00Z"},
        {"0 0 15W * *", "2026-11-02T00:00:00", "2026-11-16T00:00:00Z"},
        {"0 0 1W * *", "2026-07-15T00:00:00", "2026-08-03T00:00:00Z"},
        {"0 0 31W 5 *", "2026-01-01T00:00:00", "2026-05-29T00:00:00Z"},
        {"0 0 * * 5L", "2026-11-25T00:00:00", "2026-11-27T00:00:00Z"},
        {"0 0 * * FRIL", "2026-11-27T00:00:00", "2026-12-25T00:00:00Z"},
        {"0 0 * * 5#3", "2026-11-25T00:00:00", "2026-12-18T00:00:00Z"},
        {"0 0 * * 1#5", "2026-11-25T00:00:00", "2026-11-30T00:00:00Z"},
        {"@hourly", "2026-11-25T18:00:00", "2026-11-25T19:00:00Z"},
        {"@daily", "2026-11-25T18:00:00", "2026-11-26T00:00:00Z"},
        {"@midnight", "2026-11-25T18:00:00", "2026-11-26T00:00:00Z"},
        {"@weekly", "2026-11-25T18:00:00", "2026-11-29T00:00:00Z"},
        {"@Monthly", "2026-11-25T18:00:00", "2026-12-01T00:00:00Z"},
        {"@yearly", "2026-11-25T18:00:00", "2027-01-01T00:00:00Z"},
        {"@annually", "2026-11-25T18:00:00", "2027-01-01T00:00:00Z"},
        {"  0\t0 1  1 * ", "2026-11-25T18:00:00", "2027-01-01T00:00:00Z"},
        {"* * * * *", "2099-12-31T23:59:00", "never"},
        {"* * * * *", "2150-01-01T00:00:00", "never"},
        {"* * * * *", "1960-01-01T00:00:00", "1970-01-01T00:00:00Z"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_next(cases[i].spec, "UTC", cases[i].after, cases[i].next);
}

/* In Paris, the clocks go from 2 to 3 on 29 March 2026 (1 UTC), and from 3 to 2 on 25 October (1
 * UTC).
 */
Test(cron, keeps_to_what_is_written_when_the_clocks_are_changed)
{
    static const struct {
        const char *spec, *after, *next;
    } cases[] = {
        {"0 0 1 1 *", "2026-11-23T09:41:56", "2027-01-01T00:00:00+01:00"},
        {"0 7 * * *", "2026-03-28T12:00:00", "2026-03-29T07:00:00+02:00"},
        /* left out: made up for when it is over, once */
        {"30 2 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00+02:00"},
        {"30 2 * * *", "2026-03-29T01:00:00", "2026-03-30T02:30:00+02:00"},
        {"10,20,30 2 * * *", "2026-03-29T01:00:00", "2026-03-30T02:10:00+02:00"},
        {"0 3 * * *", "2026-03-28T12:00:00", "2026-03-29T03:00:00+02:00"},
        /* twice: the first counts */
        {"30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T02:30:00+02:00"},
        {"30 2 * * *", "2026-10-25T00:30:00", "2026-10-26T02:30:00+01:00"},
        {"0 3 * * *", "2026-10-25T00:30:00", "2026-10-25T03:00:00+01:00"},
        /* of every hour: as the clock shows */
        {"*/30 * * * *", "2026-03-29T00:30:00", "2026-03-29T03:00:00+02:00"},
        {"30 * * * *", "2026-03-29T00:30:00", "2026-03-29T03:30:00+02:00"},
        {"30 * * * *", "2026-10-25T00:30:00", "2026-10-25T02:30:00+01:00"},
        {"30 */2 * * *", "2026-10-25T00:30:00", "2026-10-25T02:30:00+01:00"},
        /* beyond the end of the zone's table */
        {"30 2 * * *", "2060-03-27T12:00:00", "2060-03-28T03:00:00+02:00"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_next(cases[i].spec, "Europe/Paris", cases[i].after, cases[i].next);
    /* a whole day that never was: 30 December 2011 */
    check_next("0 12 30 12 *", "Pacific/Apia", "2011-12-30T00:00:00", "2011-12-31T00:00:00+14:00");
}

Test(cron, refuses_what_is_none_and_says_where)
{
    static const struct {
        const char *spec, *why;
    } cases[] = {
        {"", "missing field(s)"},
        {"not cron", "missing field(s)"},
        {"* * * *", "missing field(s)"},
        {"* * * * * * * *", "too many fields"},
        {"60 * * * *", "minute \"60\""},
        {"* 24 * * *", "hour \"24\""},
        {"* * 0 * *", "day of the month \"0\""},
        {"* * 32 * *", "day of the month \"32\""},
        {"* * * 13 *", "month \"13\""},
        {"* * * Foo *", "month \"Foo\""},
        {"* * * * 8", "day of the week \"8\""},
        {"* * * * 5#6", "day of the week \"5#6\""},
        {"* * * * * 1969", "year \"1969\""},
        {"* * * * * 2100", "year \"2100\""},
        {"60 * * * * * *", "second \"60\""},
        {"5-1 * * * *", "minute \"5-1\""},
        {"*/0 * * * *", "minute \"*/0\""},
        {"*/ * * * *", "minute \"*/\""},
        {"1, * * * *", "minute \"1,\""},
        {",1 * * * *", "minute \",1\""},
        {"1-2-3 * * * *", "minute \"1-2-3\""},
        {"-1 * * * *", "minute \"-1\""},
        {"99999999999 * * * *", "minute \"99999999999\""},
        {"1L * * * *", "minute \"1L\""},
        {"* * 32W * *", "day of the month \"32W\""},
        {"@often", "unknown"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct cron c;
        struct reason why = {""};
        cr_assert_eq(cron_parse(&c, cases[i].spec, &why), ERR_INVALID, "%s", cases[i].spec);
        cr_assert_not_null(strstr(why.text, cases[i].why), "%s: %s", cases[i].spec, why.text);
    }
}
