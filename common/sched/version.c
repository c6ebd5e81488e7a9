#include "sched/version.h"
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 8
#define PRE_MAX   64

struct version {
    uint64_t parts[PARTS_MAX];
    size_t part_count; /* as written; those that follow are 0 */
    char pre[PRE_MAX]; /* "" for a release */
};

static bool read_parts(const char **at, const char *end, struct version *v)
{
    const char *s = *at;
    for (;;) {
        if (s >= end || !isdigit((unsigned char)*s) || v->part_count == PARTS_MAX)
            return false;
        uint64_t n = 0;
        for (; s < end && isdigit((unsigned char)*s); s++) {
            if (n > UINT64_MAX / 10 - 1)
                return false;
            n = n * 10 + (uint64_t)(*s - '0');
        }
        v->parts[v->part_count++] = n;
        if (s >= end || *s != '.')
            break;
        s++;
    }
    *at = s;
    return true;
}

static bool read_version(const char *s, const char *end, bool strict, struct version *v)
{
    *v = (struct version){.part_count = 0};
    if (!strict && s < end && (*s == 'v' || *s == 'V'))
        s++;
    if (!read_parts(&s, end, v) || (strict && v->part_count != 3))
        return false;
    if (s < end && (*s == '-' || (!strict && isalpha((unsigned char)*s)))) {
        if (*s == '-')
            s++;
        size_t len = 0;
        for (; s < end && *s != '+'; s++) {
            if (len == PRE_MAX - 1 || (!isalnum((unsigned char)*s) && strchr(".-~", *s) == NULL))
                return false;
            v->pre[len++] = *s;
        }
        if (len == 0)
            return false;
    }
    return s == end || *s == '+'; /* what was built it from is no part of the order */
}

static int compare_identifiers(const char *a, size_t a_len, const char *b, size_t b_len)
{
    bool a_number = strspn(a, "0123456789") >= a_len, b_number = strspn(b, "0123456789") >= b_len;
    if (a_number && b_number && a_len != b_len)
        return a_len < b_len ? -1 : 1;
    if (a_number != b_number)
        return a_number ? -1 : 1;
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c != 0 ? c : (a_len > b_len) - (a_len < b_len);
}

/* semver.org 2.0.0, point 11. */
static int compare_pre(const char *a, const char *b)
{
    if (*a == '\0' || *b == '\0')
        return (*a == '\0') - (*b == '\0');
    for (;;) {
        size_t a_len = strcspn(a, "."), b_len = strcspn(b, ".");
        int c = compare_identifiers(a, a_len, b, b_len);
        if (c != 0)
            return c;
        a += a_len;
        b += b_len;
        if (*a == '\0' || *b == '\0')
            return (*a != '\0') - (*b != '\0');
        a++;
        b++;
    }
}

static int compare_parts(const struct version *a, const struct version *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a->parts[i] != b->parts[i])
            return a->parts[i] < b->parts[i] ? -1 : 1;
    return 0;
}

static int compare_versions(const struct version *a, const struct version *b)
{
    int c = compare_parts(a, b, PARTS_MAX);
    return c != 0 ? c : compare_pre(a->pre, b->pre);
}

/* A pre-release is only for those who ask for one of the same numbers. */
static bool pre_allowed(const struct version *v, const struct version *demand)
{
    if (v->pre[0] == '\0')
        return true;
    return demand->pre[0] != '\0' && compare_parts(v, demand, PARTS_MAX) == 0;
}

/* "~> 1.2.3": at least that, and the same in all parts but the last one written. */
static bool pessimistic(const struct version *v, const struct version *demand)
{
    size_t same = demand->part_count > 1 ? demand->part_count - 1 : 1;
    return compare_versions(v, demand) >= 0 && compare_parts(v, demand, same) == 0;
}

static bool meets_one(const struct version *v, const char *s, const char *end, bool strict)
{
    static const char *const operators[] = {"!=", "<=", ">=", "~>", "<", ">", "="};
    enum { NOT_EQUAL, AT_MOST, AT_LEAST, PESSIMISTIC, LESS, GREATER, EQUAL } o = EQUAL;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t len = strlen(operators[i]);
        if ((size_t)(end - s) >= len && memcmp(s, operators[i], len) == 0) {
            o = (int)i;
            s += len;
            break;
        }
    }
    while (s < end && *s == ' ')
        s++;
    struct version demand;
    if (!read_version(s, end, strict, &demand) || (strict && o == PESSIMISTIC))
        return false;
    int c = compare_versions(v, &demand);
    bool pre = strict || pre_allowed(v, &demand);
    switch (o) {
    case EQUAL:
        return c == 0;
    case NOT_EQUAL:
        return c != 0;
    case LESS:
        return pre && c < 0;
    case AT_MOST:
        return pre && c <= 0;
    case GREATER:
        return pre && c > 0;
    case AT_LEAST:
        return pre && c >= 0;
    case PESSIMISTIC:
        return pre && pessimistic(v, &demand);
    }
    return false;
}

bool version_satisfies(const char *version, const char *demands, bool strict)
{
    struct version v;
    if (!read_version(version, version + strlen(version), strict, &v))
        return false;
    for (const char *s = demands;; s++) {
        const char *end = s + strcspn(s, ","), *last = end;
        while (s < end && *s == ' ')
            s++;
        while (last > s && last[-1] == ' ')
            last--;
        if (!meets_one(&v, s, last, strict))
            return false;
        if (*end == '\0')
            return true;
        s = end;
    }
}
