#include "base/duration.h"
#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {
    {"ns", 1},         {"us", 1000},       {"\xc2\xb5s", 1000},  {"ms", 1000000},
    {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
};

/* The longest unit that text begins with: "ms" before "m". */
static const struct unit *unit_at(const char *text)
{
    const struct unit *best = NULL;
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strncmp(text, units[i].name, strlen(units[i].name)) == 0 &&
            (best == NULL || strlen(units[i].name) > strlen(best->name)))
            best = &units[i];
    return best;
}

/* Digits with an optional fraction; whole and fraction (in ns of the unit) are exact. */
static bool parse_part(const char **text, int64_t *total)
{
    const char *p = *text;
    int64_t whole = 0, fraction = 0, scale = 1;
    size_t digits = 0;
    for (; *p >= '0' && *p <= '9'; p++, digits++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *p - '0', &whole))
            return false;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, digits++)
            if (scale <
                1000000) { /* finer digits are below a nanosecond of a second, or do not matter */
                fraction = fraction * 10 + (*p - '0');
                scale *= 10;
            }
    const struct unit *u = digits > 0 ? unit_at(p) : NULL;
    int64_t ns;
    if (u == NULL || __builtin_mul_overflow(whole, u->ns, &ns))
        return false;
    __extension__ __int128 part = (__int128)fraction * u->ns / scale;
    *text = p + strlen(u->name);
    return !__builtin_add_overflow(ns, (int64_t)part, &ns) &&
           !__builtin_add_overflow(*total, ns, total);
}

bool duration_parse(const char *text, int64_t *out_ns)
{
    bool negative = text[0] == '-';
    if (text[0] == '-' || text[0] == '+')
        text++;
    int64_t total = 0;
    if (strcmp(text, "0") != 0) {
        if (*text == '\0')
            return false;
        while (*text != '\0')
            if (!parse_part(&text, &total))
                return false;
    }
    *out_ns = negative ? -total : total;
    return true;
}

/* value/unit with up to nine decimals, without trailing zeros. */
static void print_decimal(char *out, size_t room, uint64_t value, uint64_t unit, const char *suffix)
{
    int len = snprintf(out, room, "%llu", (unsigned long long)(value / unit));
    uint64_t rest = value % unit;
    if (rest > 0) {
        out[len++] = '.';
        for (int digits = 0; digits < 9 && rest > 0; digits++) {
            out[len++] = (char)('0' + 10 * rest / unit);
            rest = 10 * rest % unit;
        }
    }
    snprintf(out + len, room - (size_t)len, "%s", suffix);
}

void duration_format(int64_t ns, char out[32])
{
    size_t room = 32;
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0) {
        *out++ = '-';
        room--;
    }
    if (left == 0) {
        snprintf(out, room, "0s");
    } else if (left < 1000) {
        print_decimal(out, room, left, 1, "ns");
    } else if (left < 1000000) {
        print_decimal(out, room, left, 1000, "\xc2\xb5s");
    } else if (left < 1000000000) {
        print_decimal(out, room, left, 1000000, "ms");
    } else {
        uint64_t minutes = left / 60000000000u;
        int len = 0;
        if (minutes >= 60)
            len += snprintf(out, room, "%lluh", (unsigned long long)(minutes / 60));
        if (minutes > 0)
            len += snprintf(out + len, room - (size_t)len, "%llum",
                            (unsigned long long)(minutes % 60));
        print_decimal(out + len, room - (size_t)len, left % 60000000000u, 1000000000, "s");
    }
}
