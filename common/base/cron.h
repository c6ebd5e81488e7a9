/* Cron expressions: at which seconds something is to be done. Pure.
 *
 *   minute hour day month weekday [year]         five or six fields
 *   second minute hour day month weekday year    seven
 *   @yearly @annually @monthly @weekly @daily @midnight @hourly
 *
 * A field is a list of 7, 1-5, *, ? (as *), each also with /STEP (7/STEP: from 7 on). Months and
 * weekdays have names (JAN, January, MON, Monday; in any case); weekday 0 and 7 are Sunday. Years
 * are 1970 to 2099. A day may also be L (the month's last), 15W (the weekday, Monday to Friday,
 * that is nearest to the 15th in its month) and LW (the last such day); a weekday may be 5L (the
 * month's last Friday) and 5#3 (its third). Where day and weekday both say something, either will
 * do.
 *
 * Where the clocks are changed: an expression whose hour field begins with * or ? goes by what the
 * clock shows, so nothing is due at times that are left out, and all comes again in times that come
 * twice. One that names hours keeps to once: what it names in times that are left out is due (once)
 * when they are over, and of times that come twice the first counts. */
#ifndef BASE_CRON_H
#define BASE_CRON_H

#include "base/err.h"
#include "base/zone.h"
#include <stdbool.h>
#include <stdint.h>

struct cron { /* bit n: the value n fits */
    uint64_t seconds, minutes;
    uint32_t hours;
    uint32_t days, near_days; /* near_days: 15W */
    uint16_t months;
    uint8_t weekdays, last_weekdays;
    uint64_t nth_weekdays; /* bit 7 * (n - 1) + weekday */
    uint64_t years[3];     /* from CRON_FIRST_YEAR */
    bool last_day, last_working_day;
    bool any_hour, any_day, any_weekday; /* the field says nothing */
};

#define CRON_FIRST_YEAR 1970
#define CRON_LAST_YEAR  2099
#define CRON_NEVER      INT64_MAX

/* *out is untouched on error; why names the field, what is wrong and what may stand there. */
enum err cron_parse(struct cron *out, const char *text, struct reason *why);

/* The first second (since 1970, UTC) after `after` that fits by the clocks of z; CRON_NEVER: none
 * until the year 2100. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after);

#endif
