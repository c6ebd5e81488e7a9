#include "urls.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (*from != '%') {
            *to = *from++;
            continue;
        }
        int high = hex_digit(from[1]), low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to = (char)(high << 4 | low);
        from += 3;
    }
    *to = '\0';
    return true;
}

void url_escape(struct strbuf *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (isalnum(*c) || strchr("-_.~*/,:", *c) != NULL)
            strbuf_putc(out, (char)*c);
        else
            strbuf_printf(out, "%%%02X", *c);
    }
}

bool url_clean(const char *path, struct strbuf *out)
{
    size_t start = out->len;
    for (const char *at = path; *at != '\0';) {
        while (*at == '/')
            at++;
        size_t n = strcspn(at, "/");
        if (n == 2 && memcmp(at, "..", 2) == 0) {
            while (out->len > start && out->data[--out->len] != '/')
                ;
        } else if (n > 0 && !(n == 1 && *at == '.')) {
            strbuf_putc(out, '/');
            strbuf_add(out, at, n);
        }
        at += n;
    }
    size_t len = strlen(path);
    if (out->len == start || (len > 0 && path[len - 1] == '/'))
        strbuf_putc(out, '/');
    strbuf_add(out, "", 0);
    out->data[out->len] = '\0';
    return strcmp(out->data + start, path) != 0;
}

bool url_accepts_gzip(const char *accept_encoding)
{
    for (const char *at = accept_encoding; *at != '\0';) {
        at += strspn(at, " \t,");
        size_t name = strcspn(at, " \t,;"), all = strcspn(at, ",");
        if ((name == 4 && strncasecmp(at, "gzip", 4) == 0) || (name == 1 && *at == '*')) {
            const char *q = memchr(at, '=', all);
            return q == NULL || strtod(q + 1, NULL) > 0;
        }
        at += all;
    }
    return false;
}

bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < 6; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}
