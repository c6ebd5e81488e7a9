#include "zone.h"
#include "zone_rule.h"
#include "base/calendar.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY     "/usr/share/zoneinfo/"
#define LONGEST_NAME  64
#define LARGEST_TABLE (64u << 10)
#define HEADER        44
#define MOST_OFFSET   (26 * 3600)

struct zone {
    int32_t first; /* the offset before the first change */
    size_t count;
    int64_t *at; /* when the clocks are changed, ascending */
    int32_t *offsets;
    bool has_rule;
    struct zone_rule rule; /* for what is after the last change */
};

/* ---- decoding */

struct counts {
    uint32_t utc, standard, leaps, times, types, chars;
};

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t i64_at(const uint8_t *p)
{
    return (int64_t)((uint64_t)u32_at(p) << 32 | u32_at(p + 4));
}

/* The header at p, and how long the block behind it is; 0: it is none. */
static size_t read_header(const uint8_t *p, size_t len, size_t time_size, struct counts *c)
{
    if (len < HEADER || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
        return 0;
    *c = (struct counts){u32_at(p + 20), u32_at(p + 24), u32_at(p + 28),
                         u32_at(p + 32), u32_at(p + 36), u32_at(p + 40)};
    uint64_t block = (uint64_t)c->times * (time_size + 1) + (uint64_t)c->types * 6 + c->chars +
                     (uint64_t)c->leaps * (time_size + 4) + c->standard + c->utc;
    return block <= len - HEADER ? HEADER + (size_t)block : 0;
}

static bool read_types(struct zone *z, const uint8_t *times, const struct counts *c)
{
    const uint8_t *kinds = times + (size_t)c->times * 8, *types = kinds + c->times;
    for (uint32_t i = 0; i < c->types; i++) {
        int32_t offset = (int32_t)u32_at(types + (size_t)i * 6);
        if (offset < -MOST_OFFSET || offset > MOST_OFFSET)
            return false;
    }
    z->first = (int32_t)u32_at(types);
    for (uint32_t i = 0; i < c->times; i++) {
        z->at[i] = i64_at(times + (size_t)i * 8);
        if (kinds[i] >= c->types || (i > 0 && z->at[i] <= z->at[i - 1]))
            return false;
        z->offsets[i] = (int32_t)u32_at(types + (size_t)kinds[i] * 6);
    }
    return true;
}

/* Behind the table: a line with the rule, which may be empty. */
static bool read_footer(struct zone *z, const uint8_t *p, size_t len)
{
    char text[ZONE_RULE_LONGEST + 1];
    const uint8_t *end = len > 0 && p[0] == '\n' ? memchr(p + 1, '\n', len - 1) : NULL;
    if (end == NULL || (size_t)(end - p - 1) >= sizeof text)
        return false;
    memcpy(text, p + 1, (size_t)(end - p - 1));
    text[end - p - 1] = '\0';
    z->has_rule = text[0] != '\0';
    return !z->has_rule || zone_rule_parse(&z->rule, text);
}

enum err zone_decode(struct zone **out, const void *data, size_t len, struct reason *why)
{
    const uint8_t *p = data;
    struct counts c;
    size_t old = len <= LARGEST_TABLE ? read_header(p, len, 4, &c) : 0; /* with times of 32 bits */
    size_t size = old > 0 ? read_header(p + old, len - old, 8, &c) : 0;
    if (size == 0 || c.types == 0)
        return reason_set(why, ERR_CORRUPT, "it is no table of a time zone");
    if (c.leaps > 0)
        return reason_set(why, ERR_INVALID, "it counts leap seconds, as clocks do not");
    struct zone *z = xcalloc(1, sizeof *z);
    z->count = c.times;
    z->at = xcalloc(c.times + 1ul, sizeof *z->at);
    z->offsets = xcalloc(c.times + 1ul, sizeof *z->offsets);
    if (!read_types(z, p + old + HEADER, &c) || !read_footer(z, p + old + size, len - old - size)) {
        zone_free(z);
        return reason_set(why, ERR_CORRUPT, "the table of the time zone is damaged");
    }
    *out = z;
    return OK;
}

void zone_free(struct zone *z)
{
    if (z == NULL)
        return;
    free(z->at);
    free(z->offsets);
    free(z);
}

/* ---- opening */

/* Nothing that leads out of the directory, or to what is no zone. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len <= LONGEST_NAME && name[0] != '/' && strstr(name, "..") == NULL &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/.") ==
               len;
}

static enum err unknown(const char *name, struct reason *why)
{
    return reason_set(why, ERR_NOT_FOUND, "unknown time zone %.80s", name);
}

enum err zone_open(struct zone **out, const char *name, struct reason *why)
{
    char path[sizeof DIRECTORY + LONGEST_NAME];
    if (name == NULL || name[0] == '\0' || strcmp(name, "UTC") == 0) {
        *out = xcalloc(1, sizeof **out);
        return OK;
    }
    if (!is_name(name))
        return unknown(name, why);
    snprintf(path, sizeof path, DIRECTORY "%s", name);
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return unknown(name, why);
    uint8_t *data = xmalloc(LARGEST_TABLE);
    size_t len = fread(data, 1, LARGEST_TABLE, f);
    enum err e = zone_decode(out, data, len, why);
    fclose(f);
    free(data);
    return e == OK ? OK : unknown(name, why);
}

/* ---- reading */

/* How many changes are not after t. */
static size_t changes_until(const struct zone *z, int64_t t)
{
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (z->at[middle] <= t)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct zone_span zone_span_at(const struct zone *z, int64_t t)
{
    struct zone_span s = {INT64_MIN, INT64_MAX, 0, 0};
    if (z == NULL)
        return s;
    size_t n = changes_until(z, t);
    s.offset = s.before = n > 0 ? z->offsets[n - 1] : z->first;
    if (n > 0) {
        s.begin = z->at[n - 1];
        s.before = n > 1 ? z->offsets[n - 2] : z->first;
    }
    if (n < z->count) {
        s.end = z->at[n];
        return s;
    }
    if (!z->has_rule)
        return s;
    struct zone_span ruled = zone_rule_span(&z->rule, t);
    if (ruled.begin <= s.begin) { /* what the table said last holds still */
        ruled.begin = s.begin;
        ruled.before = s.before;
    }
    return ruled;
}

void zone_format(const struct zone *z, int64_t t, char out[ZONE_TIME_SIZE])
{
    int32_t offset = zone_span_at(z, t).offset;
    int64_t local = t + offset, days = days_of_seconds(local);
    unsigned second = (unsigned)(local - days * DAY_S);
    struct date d = date_of_days(days);
    char where[16] = "Z";
    if (offset != 0)
        snprintf(where, sizeof where, "%c%02d:%02d", offset < 0 ? '-' : '+', abs(offset) / 3600,
                 abs(offset) / 60 % 60);
    snprintf(out, ZONE_TIME_SIZE, "%04lld-%02u-%02uT%02u:%02u:%02u%s", (long long)d.year, d.month,
             d.day, second / 3600, second / 60 % 60, second % 60, where);
}
