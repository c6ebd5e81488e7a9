#include "lex.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct token wrong(const char *why)
{
    return (struct token){.kind = TOKEN_WRONG, .name = why, .len = strlen(why)};
}

static bool is_name_part(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static size_t name_length(const struct lexer *l)
{
    size_t n = 0;
    while (l->at + n < l->end && is_name_part(l->at[n]))
        n++;
    return n;
}

/* ---- constants */

static bool take_hex(struct lexer *l, size_t digits, struct strbuf *out)
{
    char hex[5] = "";
    if ((size_t)(l->end - l->at) < digits)
        return false;
    memcpy(hex, l->at, digits);
    if (strspn(hex, "0123456789abcdefABCDEF") != digits)
        return false;
    unsigned code = (unsigned)strtoul(hex, NULL, 16);
    l->at += digits;
    if (digits == 2 || code < 0x80)
        strbuf_putc(out, (char)code);
    else if (code < 0x800)
        strbuf_printf(out, "%c%c", (char)(0xc0 | code >> 6), (char)(0x80 | (code & 63)));
    else
        strbuf_printf(out, "%c%c%c", (char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 63)),
                      (char)(0x80 | (code & 63)));
    return true;
}

/* What stands behind a backslash. */
static bool take_escape(struct lexer *l, struct strbuf *out)
{
    static const char names[] = "ntr\"\\'", bytes[] = "\n\t\r\"\\'";
    char c = *l->at++;
    const char *known = c == '\0' ? NULL : strchr(names, c);
    if (known != NULL)
        strbuf_putc(out, bytes[known - names]);
    else if (c == 'x' || c == 'u')
        return take_hex(l, c == 'x' ? 2 : 4, out);
    return known != NULL;
}

/* "..." with escapes, or `...` as it is. */
static struct token take_string(struct lexer *l)
{
    struct strbuf b = STRBUF_INIT;
    char quote = *l->at++;
    bool fine = true;
    while (fine && l->at < l->end && *l->at != quote) {
        char c = *l->at++;
        if (quote == '"' && c == '\\' && l->at < l->end)
            fine = take_escape(l, &b);
        else
            strbuf_putc(&b, c);
    }
    struct value text = value_text(arena_copy(l->arena, strbuf_text(&b), b.len + 1), b.len);
    strbuf_free(&b);
    if (!fine)
        return wrong("an escape in a string is not known");
    if (l->at >= l->end)
        return wrong("a string does not end");
    l->at++;
    return (struct token){.kind = TOKEN_CONSTANT, .value = text};
}

static struct token take_number(struct lexer *l)
{
    char text[40], *end;
    size_t n = 0;
    while (l->at + n < l->end && n < sizeof text - 1 &&
           (is_name_part(l->at[n]) || strchr(".+-", l->at[n]) != NULL)) {
        text[n] = l->at[n];
        n++;
    }
    text[n] = '\0';
    l->at += n;
    struct token t = {.kind = TOKEN_CONSTANT};
    errno = 0;
    t.value = value_whole(strtoll(text, &end, 0));
    if (*end != '\0') {
        t.value = (struct value){.kind = VALUE_REAL, .real = strtod(text, &end)};
        if (strpbrk(text, "xXnN") != NULL)
            return wrong("a number is not understood");
    }
    return *end == '\0' && errno == 0 ? t : wrong("a number is not understood");
}

static bool begins_number(const struct lexer *l)
{
    const char *at = l->at;
    if ((*at == '-' || *at == '+') && at + 1 < l->end)
        at++;
    return isdigit((unsigned char)*at);
}

/* ---- words */

static struct token take_name(struct lexer *l, enum token_kind kind, size_t skip)
{
    struct token t = {.kind = kind, .name = l->at};
    l->at += skip;
    t.len = name_length(l) + skip;
    l->at += t.len - skip;
    if (kind == TOKEN_FIELD) {
        t.name++;
        t.len--;
        t.kind = t.len == 0 ? TOKEN_DOT : TOKEN_FIELD;
    }
    return t;
}

static struct token take_sign(struct lexer *l)
{
    char sign = *l->at++;
    if (sign == ':') {
        if (l->at == l->end || *l->at != '=')
            return wrong("a colon stands alone");
        l->at++;
    }
    return (struct token){.kind = TOKEN_SIGN, .sign = sign};
}

static struct token take(struct lexer *l)
{
    if (l->at >= l->end)
        return (struct token){.kind = TOKEN_END};
    char c = *l->at;
    if (c == '"' || c == '`')
        return take_string(l);
    if (begins_number(l))
        return take_number(l);
    if (is_name_part(c))
        return take_name(l, TOKEN_NAME, 0);
    if (c == '.')
        return take_name(l, TOKEN_FIELD, 1);
    if (c == '$')
        return take_name(l, TOKEN_VARIABLE, 1);
    if (c != '\0' && strchr("()|,=:", c) != NULL)
        return take_sign(l);
    return wrong("this is not understood");
}

struct token lexer_next(struct lexer *l)
{
    const char *before = l->at;
    while (l->at < l->end && isspace((unsigned char)*l->at))
        l->at++;
    const char *begin = l->at;
    struct token t = take(l);
    t.at = begin;
    t.spaced = begin != before;
    return t;
}

bool token_is(const struct token *t, const char *name)
{
    return t->kind == TOKEN_NAME && t->len == strlen(name) && strncmp(t->name, name, t->len) == 0;
}

bool token_is_sign(const struct token *t, char sign)
{
    return t->kind == TOKEN_SIGN && t->sign == sign;
}

static const char *skip_comment(const char *at, const char *end)
{
    while (at < end && isspace((unsigned char)*at))
        at++;
    if (end - at < 2 || strncmp(at, "/*", 2) != 0)
        return at;
    at = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);
    return at == NULL ? NULL : at + 2;
}

const char *lexer_find_end(const char *at, const char *end, const char *right)
{
    size_t n = strlen(right);
    char quote = '\0';
    at = skip_comment(at, end);
    for (; at != NULL && at < end; at++) {
        if (quote == '"' && *at == '\\')
            at++;
        else if (quote != '\0')
            quote = *at == quote ? '\0' : quote;
        else if ((size_t)(end - at) >= n && strncmp(at, right, n) == 0)
            return at;
        else if (*at == '"' || *at == '`')
            quote = *at;
    }
    return NULL;
}
