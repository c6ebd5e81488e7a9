/* Days since 1 January 1970 and the dates they are, in the Gregorian calendar, which is taken to
 * have held always. No time zones: see zone.h. */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define DAY_S 86400

struct date {
    int64_t year;
    unsigned month, day; /* both from 1 */
};

int64_t days_of_date(int64_t year, unsigned month, unsigned day);
struct date date_of_days(int64_t days);
unsigned weekday_of_days(int64_t days); /* 0: Sunday */
unsigned days_in_month(int64_t year, unsigned month);
bool year_is_leap(int64_t year);
/* Of seconds since 1970: whole days, rounded down. */
int64_t days_of_seconds(int64_t seconds);

#endif
