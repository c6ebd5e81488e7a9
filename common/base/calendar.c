#include "calendar.h"

#define CYCLE_YEARS 400 /* after which the calendar repeats */
#define CYCLE_DAYS  146097

static int64_t divide_down(int64_t n, int64_t by)
{
    return n / by - (n % by < 0);
}

bool year_is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

unsigned days_in_month(int64_t year, unsigned month)
{
    if (month == 2)
        return year_is_leap(year) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* From 1 January of year 1 to 1 January of year. */
static int64_t days_before_year(int64_t year)
{
    int64_t past = year - 1;
    return past * 365 + divide_down(past, 4) - divide_down(past, 100) + divide_down(past, 400);
}

int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
    int64_t days = days_before_year(year) - days_before_year(1970);
    for (unsigned m = 1; m < month; m++)
        days += days_in_month(year, m);
    return days + day - 1;
}

struct date date_of_days(int64_t days)
{
    struct date d = {.year = 1970 + divide_down(days * CYCLE_YEARS, CYCLE_DAYS), .month = 1};
    while (days < days_of_date(d.year, 1, 1)) /* the estimate is off by one at most */
        d.year--;
    while (days >= days_of_date(d.year + 1, 1, 1))
        d.year++;
    unsigned left = (unsigned)(days - days_of_date(d.year, 1, 1));
    while (left >= days_in_month(d.year, d.month))
        left -= days_in_month(d.year, d.month++);
    d.day = left + 1;
    return d;
}

unsigned weekday_of_days(int64_t days)
{
    int64_t w = (days + 4) % 7; /* 1 January 1970 was a Thursday */
    return (unsigned)(w < 0 ? w + 7 : w);
}

int64_t days_of_seconds(int64_t seconds)
{
    return divide_down(seconds, DAY_S);
}
