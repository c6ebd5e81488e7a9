#include "sched/constraint.h"
#include "sched/version.h"
#include "base/err.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    enum operand operand;
} operands[] = {
    {"=", OPERAND_EQUAL},
    {"==", OPERAND_EQUAL},
    {"is", OPERAND_EQUAL},
    {"!=", OPERAND_NOT_EQUAL},
    {"not", OPERAND_NOT_EQUAL},
    {"<", OPERAND_LESS},
    {"<=", OPERAND_LESS_EQUAL},
    {">", OPERAND_GREATER},
    {">=", OPERAND_GREATER_EQUAL},
    {"set_contains", OPERAND_SET_CONTAINS_ALL},
    {"set_contains_all", OPERAND_SET_CONTAINS_ALL},
    {"set_contains_any", OPERAND_SET_CONTAINS_ANY},
    {"is_set", OPERAND_IS_SET},
    {"is_not_set", OPERAND_IS_NOT_SET},
    {"version", OPERAND_VERSION},
    {"semver", OPERAND_SEMVER},
    {"regexp", OPERAND_REGEXP},
    {"distinct_hosts", OPERAND_DISTINCT_HOSTS},
    {"distinct_property", OPERAND_DISTINCT_PROPERTY},
};

enum operand operand_parse(const char *text)
{
    if (text == NULL || text[0] == '\0')
        return OPERAND_EQUAL;
    for (size_t i = 0; i < COUNT_OF(operands); i++)
        if (strcmp(operands[i].text, text) == 0)
            return operands[i].operand;
    return OPERAND_UNKNOWN;
}

bool operand_is_of_node(enum operand o)
{
    return o != OPERAND_UNKNOWN && o != OPERAND_DISTINCT_HOSTS && o != OPERAND_DISTINCT_PROPERTY;
}

uint32_t distinct_property_limit(const char *right)
{
    if (right == NULL || right[0] == '\0')
        return 1;
    uint32_t n = 0;
    for (const char *c = right; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || n > 100000000)
            return 0;
        n = n * 10 + (uint32_t)(*c - '0');
    }
    return n;
}

bool target_key(const char *target, char *out, size_t size)
{
    size_t len = target != NULL ? strlen(target) : 0;
    if (len < 4 || strncmp(target, "${", 2) != 0 || target[len - 1] != '}' || len - 3 >= size)
        return false;
    memcpy(out, target + 2, len - 3);
    out[len - 3] = '\0';
    return true;
}

bool target_is_unique(const char *target)
{
    return target != NULL && (strncmp(target, "${node.unique.", 14) == 0 ||
                              strncmp(target, "${attr.unique.", 14) == 0 ||
                              strncmp(target, "${meta.unique.", 14) == 0);
}

bool target_is_mistaken(const char *target)
{
    static const char *const of_node[] = {"node.datacenter", "node.class", "node.pool",
                                          "node.unique.id", "node.unique.name"};
    char key[TARGET_LONGEST];
    if (target == NULL || strncmp(target, "${", 2) != 0)
        return false;
    if (!target_key(target, key, sizeof(key)))
        return true;
    for (size_t i = 0; i < COUNT_OF(of_node); i++)
        if (strcmp(key, of_node[i]) == 0)
            return false;
    return (strncmp(key, "attr.", 5) != 0 && strncmp(key, "meta.", 5) != 0) || key[5] == '\0';
}

static bool read_integer(const char *s, long long *out)
{
    char *end;
    errno = 0;
    *out = strtoll(s, &end, 10);
    return end != s && *end == '\0' && errno == 0;
}

/* Whole numbers compare as such, so that large ones do not round; then other numbers; all else byte
 * by byte. */
static int compare(const char *left, const char *right)
{
    long long left_integer, right_integer;
    if (read_integer(left, &left_integer) && read_integer(right, &right_integer))
        return (left_integer > right_integer) - (left_integer < right_integer);
    char *left_end, *right_end;
    double l = strtod(left, &left_end), r = strtod(right, &right_end);
    if (left_end != left && *left_end == '\0' && right_end != right && *right_end == '\0')
        return (l > r) - (l < r);
    return strcmp(left, right);
}

/* The next member of a comma separated set, without the spaces around it. */
static bool next_member(const char **at, const char **start, size_t *len)
{
    const char *s = *at;
    if (s == NULL)
        return false;
    const char *comma = strchr(s, ',');
    const char *end = comma != NULL ? comma : s + strlen(s);
    *at = comma != NULL ? comma + 1 : NULL;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *start = s;
    *len = (size_t)(end - s);
    return true;
}

static bool set_has(const char *set, const char *member, size_t member_len)
{
    const char *start;
    size_t len;
    while (next_member(&set, &start, &len))
        if (len == member_len && memcmp(start, member, len) == 0)
            return true;
    return false;
}

static bool set_contains(const char *set, const char *wanted, bool all)
{
    const char *start;
    size_t len;
    while (next_member(&wanted, &start, &len))
        if (set_has(set, start, len) != all)
            return !all;
    return all;
}

bool operand_holds(enum operand o, const char *left, const char *right)
{
    /* These say something about what is missing, too. */
    if (o == OPERAND_IS_SET)
        return left != NULL;
    if (o == OPERAND_IS_NOT_SET)
        return left == NULL;
    if (o == OPERAND_NOT_EQUAL)
        return left == NULL || right == NULL ? left != right : strcmp(left, right) != 0;
    if (left == NULL || right == NULL)
        return false;
    switch (o) {
    case OPERAND_EQUAL:
        return strcmp(left, right) == 0;
    case OPERAND_LESS:
        return compare(left, right) < 0;
    case OPERAND_LESS_EQUAL:
        return compare(left, right) <= 0;
    case OPERAND_GREATER:
        return compare(left, right) > 0;
    case OPERAND_GREATER_EQUAL:
        return compare(left, right) >= 0;
    case OPERAND_SET_CONTAINS_ALL:
        return set_contains(left, right, true);
    case OPERAND_SET_CONTAINS_ANY:
        return set_contains(left, right, false);
    case OPERAND_VERSION:
        return version_satisfies(left, right, false);
    case OPERAND_SEMVER:
        return version_satisfies(left, right, true);
    case OPERAND_NOT_EQUAL:
    case OPERAND_IS_SET:
    case OPERAND_IS_NOT_SET:
    case OPERAND_REGEXP:
    case OPERAND_DISTINCT_HOSTS:
    case OPERAND_DISTINCT_PROPERTY:
    case OPERAND_UNKNOWN:
        break;
    }
    return false;
}

void constraint_text(const Pb__Constraint *c, char *out, size_t size)
{
    const char *operand = c->operand != NULL && c->operand[0] != '\0' ? c->operand : "=";
    if (operand_parse(operand) == OPERAND_DISTINCT_HOSTS)
        snprintf(out, size, "distinct_hosts");
    else
        snprintf(out, size, "%s %s %s", c->l_target != NULL ? c->l_target : "", operand,
                 c->r_target != NULL ? c->r_target : "");
}
