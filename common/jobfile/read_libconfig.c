/* The native form, by libconfig. Its parser reads files named by @include, forgets what follows a
 * NUL, nests as deep as the text does, and wraps large numbers around; so the text is looked over
 * first. */
#include "tree.h"
#include <ctype.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct scan {
    const char *at, *end;
    unsigned line;
    int depth;
    bool line_start; /* nothing but blanks so far on this line */
};

static void skip_to_line_end(struct scan *s)
{
    while (s->at < s->end && *s->at != '\n')
        s->at++;
}

static void skip_comment(struct scan *s)
{
    for (s->at += 2; s->at < s->end; s->at++) {
        if (*s->at == '\n')
            s->line++;
        if (s->end - s->at >= 2 && s->at[0] == '*' && s->at[1] == '/') {
            s->at += 2;
            return;
        }
    }
}

/* A text may span lines; an escaped NUL would cut it short without a sign. */
static enum err skip_text(struct scan *s, struct reason *why)
{
    unsigned first = s->line;
    for (s->at++; s->at < s->end && *s->at != '"'; s->at++) {
        if (*s->at == '\n')
            s->line++;
        if (*s->at != '\\' || s->at + 1 == s->end)
            continue;
        if (s->end - s->at >= 4 && memcmp(s->at, "\\x00", 4) == 0)
            return reason_set(why, ERR_INVALID, "line %u: a text must not hold NUL (\\x00)",
                              s->line);
        s->at++;
        if (*s->at == '\n')
            s->line++;
    }
    if (s->at == s->end)
        return reason_set(why, ERR_INVALID,
                          "line %u: a text begins here and never ends: \" missing", first);
    s->at++;
    return OK;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*' || c == '.' || c == '+';
}

/* libconfig reads a whole number without L as 32 bits and never complains. */
static enum err check_number(const struct scan *s, size_t len, struct reason *why)
{
    char digits[72];
    snprintf(digits, sizeof(digits), "%.*s", (int)(len < 70 ? len : 70), s->at);
    bool is_long = strchr(digits, 'L') != NULL, hex = strpbrk(digits, "xX") != NULL;
    char *end;
    errno = 0;
    long long value = strtoll(digits, &end, hex ? 16 : 10);
    if (*end != '\0' && *end != 'L')
        return OK; /* a decimal number, or none at all: libconfig will say */
    if (errno == ERANGE || len > 70)
        return reason_set(why, ERR_INVALID, "line %u: the number %s is too large", s->line, digits);
    if (!is_long && (value < INT32_MIN || value > INT32_MAX))
        return reason_set(why, ERR_INVALID,
                          "line %u: the number %s is too large, unless it is written %sL", s->line,
                          digits, digits);
    return OK;
}

static enum err skip_word(struct scan *s, struct reason *why)
{
    size_t len = 0;
    while (s->at + len < s->end && is_word(s->at[len]))
        len++;
    bool number = isdigit((unsigned char)s->at[0]) || s->at[0] == '-' || s->at[0] == '+';
    enum err e = number ? check_number(s, len, why) : OK;
    s->at += len;
    return e;
}

static enum err scan_one(struct scan *s, struct reason *why)
{
    char c = *s->at, next = s->at + 1 < s->end ? s->at[1] : '\0';
    bool line_start = s->line_start;
    s->line_start = c == '\n' || (line_start && (c == ' ' || c == '\t' || c == '\r'));
    if (c == '\n')
        s->line++;
    if (c == '\0')
        return reason_set(why, ERR_INVALID, "line %u: a NUL byte", s->line);
    if (c == '"')
        return skip_text(s, why);
    if (c == '#' || (c == '/' && next == '/'))
        return skip_to_line_end(s), OK;
    if (c == '/' && next == '*')
        return skip_comment(s), OK;
    if (line_start && s->end - s->at >= 8 && strncasecmp(s->at, "@include", 8) == 0)
        return reason_set(why, ERR_INVALID,
                          "line %u: @include is not supported: put the whole job into one file",
                          s->line);
    if (is_word(c))
        return skip_word(s, why);
    if (c == '{' || c == '(' || c == '[')
        s->depth++;
    if ((c == '}' || c == ')' || c == ']') && s->depth > 0)
        s->depth--;
    if (s->depth >= JOBFILE_MAX_DEPTH)
        return reason_set(why, ERR_INVALID, "line %u: nested deeper than %d levels", s->line,
                          JOBFILE_MAX_DEPTH);
    s->at++;
    return OK;
}

static enum err scan(const char *text, size_t len, struct reason *why)
{
    struct scan s = {.at = text, .end = text + len, .line = 1, .line_start = true};
    while (s.at < s.end) {
        enum err e = scan_one(&s, why);
        if (e != OK)
            return e;
    }
    return OK;
}

/* The depth is bounded by scan. */
static enum err convert(struct arena *a, const config_setting_t *setting, struct node *out,
                        struct reason *why)
{
    enum err e = OK;
    const char *name = config_setting_name(setting);
    out->line = config_setting_source_line(setting);
    out->key = name != NULL ? arena_strdup(a, name) : NULL;
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        out->kind = NODE_INTEGER;
        out->integer = config_setting_get_int64(setting);
        return OK;
    case CONFIG_TYPE_FLOAT:
        out->kind = NODE_REAL;
        out->real = config_setting_get_float(setting);
        return OK;
    case CONFIG_TYPE_BOOL:
        out->kind = NODE_BOOL;
        out->boolean = config_setting_get_bool(setting);
        return OK;
    case CONFIG_TYPE_STRING:
        out->kind = NODE_TEXT;
        out->text = arena_strdup(a, config_setting_get_string(setting));
        if (!text_is_utf8(out->text))
            e = reason_set(why, ERR_INVALID, "line %u: a text that is not UTF-8", out->line);
        return e;
    case CONFIG_TYPE_GROUP:
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        out->kind = config_setting_is_group(setting) ? NODE_MAP : NODE_LIST;
        out->count = (size_t)config_setting_length(setting);
        out->items = arena_array(a, struct node, out->count);
        for (size_t i = 0; e == OK && i < out->count; i++)
            e = convert(a, config_setting_get_elem(setting, (unsigned)i), &out->items[i], why);
        return e;
    default:
        out->kind = NODE_NULL;
        return OK;
    }
}

enum err read_libconfig(struct arena *a, const char *text, size_t len, struct node **out,
                        struct reason *why)
{
    enum err e = scan(text, len, why);
    if (e != OK)
        return e;
    config_t config;
    config_init(&config);
    if (config_read_string(&config, text) == CONFIG_TRUE) {
        *out = arena_array(a, struct node, 1);
        e = convert(a, config_root_setting(&config), *out, why);
    } else
        e = reason_set(why, ERR_INVALID, "line %d: %s", config_error_line(&config),
                       config_error_text(&config));
    config_destroy(&config);
    return e;
}
