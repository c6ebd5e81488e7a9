#include "cron.h"
#include "base/calendar.h"

#define NO_BIT 64

/* The first bit from `from` on. */
static unsigned next_bit(uint64_t bits, unsigned from)
{
    if (from >= NO_BIT)
        return NO_BIT;
    bits &= ~0ull << from;
    return bits == 0 ? NO_BIT : (unsigned)__builtin_ctzll(bits);
}

/* ---- days */

/* The working day nearest to day, in the same month, which has len days and begins on `first`. */
static unsigned working_day_near(unsigned day, unsigned len, unsigned first)
{
    unsigned weekday = (first + day - 1) % 7;
    if (weekday == 6)
        return day > 1 ? day - 1 : day + 2;
    if (weekday == 0)
        return day < len ? day + 1 : day - 2;
    return day;
}

static uint32_t days_by_date(const struct cron *c, unsigned len, unsigned first)
{
    uint32_t days = c->days;
    for (unsigned d = 1; d <= len; d++)
        if ((c->near_days >> d & 1) != 0)
            days |= 1u << (working_day_near(d, len, first) & 31);
    if (c->last_day)
        days |= 1u << len;
    if (c->last_working_day)
        days |= 1u << (working_day_near(len, len, first) & 31);
    return days;
}

static uint32_t days_by_weekday(const struct cron *c, unsigned len, unsigned first)
{
    uint32_t days = 0;
    for (unsigned d = 1; d <= len; d++) {
        unsigned weekday = (first + d - 1) % 7;
        bool fits = (c->weekdays >> weekday & 1) != 0 ||
                    (d + 7 > len && (c->last_weekdays >> weekday & 1) != 0) ||
                    (c->nth_weekdays >> ((d - 1) / 7 * 7 + weekday) & 1) != 0;
        days |= (uint32_t)fits << d;
    }
    return days;
}

/* The days of a month that fit, as bits. */
static uint32_t days_of_month(const struct cron *c, int64_t year, unsigned month)
{
    unsigned len = days_in_month(year, month);
    unsigned first = weekday_of_days(days_of_date(year, month, 1));
    uint32_t all = (uint32_t)((1ull << (len + 1)) - 2), days = all;
    if (!c->any_day && !c->any_weekday)
        days = days_by_date(c, len, first) | days_by_weekday(c, len, first);
    else if (!c->any_day)
        days = days_by_date(c, len, first);
    else if (!c->any_weekday)
        days = days_by_weekday(c, len, first);
    return days & all;
}

static bool year_fits(const struct cron *c, int64_t year)
{
    int64_t n = year - CRON_FIRST_YEAR;
    return n >= 0 && year <= CRON_LAST_YEAR && (c->years[n / 64] >> (n % 64) & 1) != 0;
}

/* The first day from `days` on that fits; CRON_NEVER: none. */
static int64_t next_day(const struct cron *c, int64_t days)
{
    struct date d = date_of_days(days);
    while (d.year <= CRON_LAST_YEAR) {
        uint32_t fit = 0;
        if (!year_fits(c, d.year)) {
            d.month = 12;
        } else if ((c->months >> d.month & 1) != 0) {
            fit = days_of_month(c, d.year, d.month);
        }
        unsigned day = next_bit(fit, d.day);
        if (day != NO_BIT)
            return days_of_date(d.year, d.month, day);
        d = (struct date){d.year + d.month / 12, d.month % 12 + 1, 1};
    }
    return CRON_NEVER;
}

/* ---- times of day */

/* The first second of a day from `from` on that fits; DAY_S: none. */
static unsigned next_second(const struct cron *c, unsigned from)
{
    unsigned hour = from / 3600, minute = from / 60 % 60, second = from % 60;
    for (unsigned h = next_bit(c->hours, hour); h != NO_BIT; h = next_bit(c->hours, h + 1)) {
        bool first_hour = h == hour;
        unsigned m = next_bit(c->minutes, first_hour ? minute : 0);
        for (; m != NO_BIT; m = next_bit(c->minutes, m + 1)) {
            unsigned s = next_bit(c->seconds, first_hour && m == minute ? second : 0);
            if (s != NO_BIT)
                return h * 3600 + m * 60 + s;
        }
    }
    return DAY_S;
}

/* The first second from `from` on that fits, both by a clock that is never changed. */
static int64_t next_local(const struct cron *c, int64_t from)
{
    int64_t today = days_of_seconds(from), day = next_day(c, today);
    unsigned second = DAY_S;
    if (day == today)
        second = next_second(c, (unsigned)(from - today * DAY_S));
    if (second == DAY_S && day == today)
        day = next_day(c, today + 1);
    if (day == CRON_NEVER)
        return CRON_NEVER;
    return day * DAY_S + (second != DAY_S ? second : next_second(c, 0));
}

/* ---- changed clocks */

/* Whether t is when the clocks are put forward over a time that c names. */
static bool is_due_late(const struct cron *c, const struct zone_span *s, int64_t t)
{
    return !c->any_hour && t == s->begin && s->offset > s->before &&
           next_local(c, t + s->before) < t + s->offset;
}

/* The first local time of the span from t on that counts. */
static int64_t first_local(const struct cron *c, const struct zone_span *s, int64_t t)
{
    int64_t local = t + s->offset;
    if (c->any_hour || s->begin == INT64_MIN || s->offset >= s->before)
        return local;
    int64_t shown_before = s->begin + s->before;
    return local < shown_before ? shown_before : local;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after)
{
    const int64_t end = days_of_date(CRON_LAST_YEAR + 1, 1, 1) * DAY_S;
    int64_t t = after < 0 ? 0 : after;
    if (after >= 0 && after < end)
        t = after + 1;
    while (t < end) {
        struct zone_span s = zone_span_at(z, t);
        if (is_due_late(c, &s, t))
            return t;
        int64_t local = next_local(c, first_local(c, &s, t));
        if (local == CRON_NEVER)
            return CRON_NEVER;
        if (local - s.offset < s.end)
            return local - s.offset;
        t = s.end;
    }
    return CRON_NEVER;
}
