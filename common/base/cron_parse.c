#include "base/cron.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LONGEST 512

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR, FIELDS };

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};
static const char *const weekday_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};

static const struct field {
    const char *name, *help; /* help: what may stand there */
    unsigned low, high;
    const char *const *names; /* of low and what follows */
    size_t name_count;
} fields[FIELDS] = {
    [SECOND] = {"second", "0 to 59", 0, 59, NULL, 0},
    [MINUTE] = {"minute", "0 to 59", 0, 59, NULL, 0},
    [HOUR] = {"hour", "0 to 23", 0, 23, NULL, 0},
    [DAY] = {"day of the month", "1 to 31, L, LW or 15W", 1, 31, NULL, 0},
    [MONTH] = {"month", "1 to 12 or JAN to DEC", 1, 12, month_names, 12},
    [WEEKDAY] = {"day of the week", "0 to 7 or SUN to SAT, 5L or 5#3", 0, 7, weekday_names, 7},
    [YEAR] = {"year", "1970 to 2099", CRON_FIRST_YEAR, CRON_LAST_YEAR, NULL, 0},
};

static const struct {
    const char *name, *meaning;
} shorthands[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

/* ---- values */

static bool read_number(const char **at, unsigned *out)
{
    unsigned n = 0, digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 5; digits++)
        n = n * 10 + (unsigned)(*(*at)++ - '0');
    *out = n;
    return digits > 0 && digits < 5;
}

/* The whole name or its first three letters. */
static bool read_name(const char **at, const struct field *f, unsigned *out)
{
    for (unsigned i = 0; i < f->name_count; i++) {
        size_t whole = strlen(f->names[i]);
        size_t len = strncasecmp(*at, f->names[i], whole) == 0 ? whole : 3;
        if (strncasecmp(*at, f->names[i], len) != 0)
            continue;
        *at += len;
        *out = f->low + i;
        return true;
    }
    return false;
}

static bool read_value(const char **at, const struct field *f, unsigned *out)
{
    return read_name(at, f, out) || (read_number(at, out) && *out >= f->low && *out <= f->high);
}

static void set(uint64_t *bits, unsigned n)
{
    bits[n / 64] |= 1ull << (n % 64);
}

/* ---- what only a day or a weekday may be */

/* "L", "LW", "15W" */
static bool read_special_day(const char **at, struct cron *c)
{
    const char *p = *at;
    unsigned day;
    if (*p == 'L' || *p == 'l') {
        p++;
        bool working = *p == 'W' || *p == 'w';
        p += working;
        c->last_working_day |= working;
        c->last_day |= !working;
    } else if (read_value(&p, &fields[DAY], &day) && (*p == 'W' || *p == 'w')) {
        p++;
        c->near_days |= 1u << day;
    } else
        return false;
    *at = p;
    return true;
}

/* "5L", "5#3" */
static bool read_special_weekday(const char **at, struct cron *c)
{
    const char *p = *at;
    unsigned weekday, nth;
    if (!read_value(&p, &fields[WEEKDAY], &weekday))
        return false;
    weekday %= 7;
    if (*p == 'L' || *p == 'l') {
        p++;
        c->last_weekdays |= (uint8_t)(1u << weekday);
    } else if (*p++ == '#' && read_number(&p, &nth) && nth >= 1 && nth <= 5)
        c->nth_weekdays |= 1ull << (7 * (nth - 1) + weekday);
    else
        return false;
    *at = p;
    return true;
}

/* ---- fields */

/* "*", "5", "1-5", each with "/STEP": into bits, counted from base. */
static bool read_range(const char **at, const struct field *f, unsigned base, uint64_t *bits)
{
    unsigned from = f->low, to = f->high, step = 1;
    bool open = **at == '*' || **at == '?', single = false;
    if (open)
        ++*at;
    else if (!read_value(at, f, &from))
        return false;
    else if (**at != '-')
        single = true;
    else if (++*at, !read_value(at, f, &to))
        return false;
    if (**at == '/') {
        ++*at;
        if (!read_number(at, &step) || step == 0)
            return false;
    } else if (single)
        to = from;
    for (unsigned i = from; i <= to; i += step)
        set(bits, i - base);
    return from <= to;
}

static bool read_part(const char **at, int kind, struct cron *c, uint64_t *bits)
{
    const char *p = *at;
    if (kind == DAY && read_special_day(&p, c))
        *at = p;
    else if (kind == WEEKDAY && read_special_weekday(&p, c))
        *at = p;
    else
        return read_range(at, &fields[kind], kind == YEAR ? CRON_FIRST_YEAR : 0, bits);
    return true;
}

static void keep_field(struct cron *c, int kind, const char *text, const uint64_t bits[3])
{
    bool open = text[0] == '*' || text[0] == '?', all = open && text[1] == '\0';
    uint64_t *const wide[FIELDS] = {[SECOND] = &c->seconds, [MINUTE] = &c->minutes};
    if (wide[kind] != NULL)
        *wide[kind] = bits[0];
    else if (kind == HOUR)
        c->hours = (uint32_t)bits[0];
    else if (kind == DAY)
        c->days = (uint32_t)bits[0];
    else if (kind == MONTH)
        c->months = (uint16_t)bits[0];
    else if (kind == WEEKDAY)
        c->weekdays = (uint8_t)((bits[0] | bits[0] >> 7) & 0x7f);
    else
        memcpy(c->years, bits, sizeof c->years);
    c->any_hour |= kind == HOUR && open;
    c->any_day |= kind == DAY && all;
    c->any_weekday |= kind == WEEKDAY && all;
}

static enum err read_field(struct cron *c, int kind, const char *text, struct reason *why)
{
    uint64_t bits[3] = {0};
    const char *at = text;
    bool ok = true;
    while (ok) {
        ok = read_part(&at, kind, c, bits);
        if (!ok || *at != ',')
            break;
        at++;
    }
    if (!ok || *at != '\0')
        return reason_set(why, ERR_INVALID,
                          "%s \"%.40s\": use %s, *, ranges as %u-%u, steps as */2, or a list of "
                          "them with commas",
                          fields[kind].name, text, fields[kind].help, fields[kind].low,
                          fields[kind].low + 2);
    keep_field(c, kind, text, bits);
    return OK;
}

/* ---- the whole */

static const char *meaning_of(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(shorthands); i++)
        if (strcasecmp(text, shorthands[i].name) == 0)
            return shorthands[i].meaning;
    return NULL;
}

static size_t split(char *text, char *words[FIELDS + 1])
{
    char *rest = NULL;
    size_t n = 0;
    for (char *word = strtok_r(text, " \t", &rest); word != NULL && n <= FIELDS;
         word = strtok_r(NULL, " \t", &rest))
        words[n++] = word;
    return n;
}

static enum err read_fields(struct cron *c, char *words[], size_t count, struct reason *why)
{
    static const char *const defaults[FIELDS] = {[SECOND] = "0", [YEAR] = "*"};
    int first = count == FIELDS ? SECOND : MINUTE;
    for (int kind = SECOND; kind < FIELDS; kind++) {
        size_t i = (size_t)(kind - first);
        enum err e =
            read_field(c, kind, kind >= first && i < count ? words[i] : defaults[kind], why);
        if (e != OK)
            return e;
    }
    return OK;
}

enum err cron_parse(struct cron *out, const char *text, struct reason *why)
{
    char copy[LONGEST + 1], *words[FIELDS + 1] = {NULL};
    struct cron c = {0};
    if (strlen(text) > LONGEST)
        return reason_set(why, ERR_INVALID, "it is longer than %d bytes", LONGEST);
    snprintf(copy, sizeof copy, "%s", text);
    size_t n = split(copy, words);
    if (n == 1 && words[0][0] == '@') {
        const char *meaning = meaning_of(words[0]);
        if (meaning == NULL)
            return reason_set(why, ERR_INVALID,
                              "unknown: use @hourly, @daily, @weekly, @monthly, @yearly or fields");
        snprintf(copy, sizeof copy, "%s", meaning);
        n = split(copy, words);
    }
    if (n < 5)
        return reason_set(why, ERR_INVALID, "missing field(s)");
    if (n > FIELDS)
        return reason_set(why, ERR_INVALID, "too many fields: at most %d", FIELDS);
    enum err e = read_fields(&c, words, n, why);
    if (e == OK)
        *out = c;
    return e;
}
