/* Text -> tree, and what is wrong with text that is none, in the words of Go's scanner. jansson
 * decides what is JSON; the little scanner here only explains a refusal. */
#include "wire/json.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DEEPEST 512

struct scanner {
    const char *at, *end;
    struct reason *why;
    unsigned depth;
};

static bool complain(struct scanner *s, const char *context)
{
    if (s->at >= s->end) {
        reason_set(s->why, ERR_INVALID, "unexpected EOF");
        return false;
    }
    unsigned char c = (unsigned char)*s->at;
    char shown[8];
    if (c == '\'' || c == '\\')
        snprintf(shown, sizeof(shown), "\\%c", c);
    else if (c == '\n' || c == '\r' || c == '\t')
        snprintf(shown, sizeof(shown), "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c < 0x20 || c == 0x7f)
        snprintf(shown, sizeof(shown), "\\x%02x", c);
    else if (c >= 0x80) /* Go shows the byte as a Latin-1 character */
        snprintf(shown, sizeof(shown), "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
    else
        snprintf(shown, sizeof(shown), "%c", c);
    reason_set(s->why, ERR_INVALID, "invalid character '%s' %s", shown, context);
    return false;
}

static void skip_space(struct scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool scan_string(struct scanner *s)
{
    for (s->at++; s->at < s->end; s->at++) {
        if (*s->at == '"') {
            s->at++;
            return true;
        }
        if ((unsigned char)*s->at < 0x20)
            return complain(s, "in string literal");
        if (*s->at != '\\')
            continue;
        if (++s->at >= s->end || strchr("\"\\/bfnrtu", *s->at) == NULL)
            return complain(s, "in string escape code");
        for (int digits = *s->at == 'u' ? 4 : 0; digits > 0; digits--)
            if (++s->at >= s->end || !isxdigit((unsigned char)*s->at))
                return complain(s, "in \\u hexadecimal character escape");
    }
    return complain(s, "");
}

static bool scan_literal(struct scanner *s, const char *word)
{
    char context[64];
    for (const char *c = word; *c != '\0'; c++, s->at++)
        if (s->at >= s->end || *s->at != *c) {
            snprintf(context, sizeof(context), "in literal %s (expecting '%c')", word, *c);
            return complain(s, context);
        }
    return true;
}

static bool scan_digits(struct scanner *s, const char *context)
{
    if (s->at >= s->end || !isdigit((unsigned char)*s->at))
        return complain(s, context);
    while (s->at < s->end && isdigit((unsigned char)*s->at))
        s->at++;
    return true;
}

static bool scan_number(struct scanner *s)
{
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!scan_digits(s, "in numeric literal"))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!scan_digits(s, "after decimal point in numeric literal"))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s, "in exponent of numeric literal");
    }
    return true;
}

static bool scan_value(struct scanner *s);

static bool scan_member(struct scanner *s)
{
    skip_space(s);
    if (s->at >= s->end || *s->at != '"')
        return complain(s, "looking for beginning of object key string");
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (s->at >= s->end || *s->at != ':')
        return complain(s, "after object key");
    s->at++;
    return scan_value(s);
}

/* An array or an object, from behind its opening bracket. */
static bool scan_members(struct scanner *s, char close)
{
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return true;
    }
    for (;;) {
        if (!(close == '}' ? scan_member(s) : scan_value(s)))
            return false;
        skip_space(s);
        if (s->at >= s->end || (*s->at != ',' && *s->at != close))
            return complain(s,
                            close == '}' ? "after object key:value pair" : "after array element");
        if (*s->at++ == close)
            return true;
    }
}

static bool scan_value(struct scanner *s)
{
    skip_space(s);
    char c = s->at < s->end ? *s->at : '\0';
    if (c == '{' || c == '[') {
        if (++s->depth > DEEPEST) {
            reason_set(s->why, ERR_INVALID, "exceeded max depth");
            return false;
        }
        s->at++;
        bool ok = scan_members(s, c == '{' ? '}' : ']');
        s->depth--;
        return ok;
    }
    if (c == '"')
        return scan_string(s);
    if (c == '-' || isdigit((unsigned char)c))
        return scan_number(s);
    if (c == 't' || c == 'f' || c == 'n')
        return scan_literal(s, c == 't' ? "true" : c == 'f' ? "false" : "null");
    return complain(s, "looking for beginning of value");
}

json_t *json_text_parse(const char *text, size_t len, struct reason *why)
{
    json_error_t error;
    json_t *tree = json_loadb(text, len, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    if (tree != NULL)
        return tree;
    struct scanner s = {.at = text, .end = text + len, .why = why};
    if (scan_value(&s)) /* well formed: something that jansson does not take, as \u0000 */
        reason_set(why, ERR_INVALID, "line %d, column %d: %s", error.line, error.column,
                   error.text);
    return NULL;
}
