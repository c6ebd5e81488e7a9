#include "table.h"
#include "base/err.h"
#include "base/strbuf.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add_cell(struct table *t, const char *text)
{
    if (t->count == t->room) {
        t->room = t->room == 0 ? 64 : t->room * 2;
        t->cells = xrealloc(t->cells, t->room * sizeof(*t->cells));
    }
    char *cell = xstrdup(text == NULL ? "" : text);
    for (char *c = cell; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = *c == '\n' || *c == '\t' ? ' ' : '?';
    t->cells[t->count++] = cell;
}

void table_init(struct table *t, const char *heading, bool colors)
{
    memset(t, 0, sizeof(*t));
    t->colors = colors;
    for (const char *at = heading;; at++) {
        size_t len = strcspn(at, "|");
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)len, at);
        must(t->columns < TABLE_MAX_COLUMNS);
        t->columns++;
        add_cell(t, name);
        at += len;
        if (*at == '\0')
            return;
    }
}

void table_row(struct table *t, const char *const *cells)
{
    for (size_t i = 0; i < t->columns; i++)
        add_cell(t, cells[i]);
}

/* In characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Words that say how something is. */
static const char *color_of(const char *cell)
{
    static const struct {
        const char *word, *color;
    } words[] = {
        {"running", "\033[32m"}, {"ready", "\033[32m"},      {"alive", "\033[32m"},
        {"failed", "\033[31m"},  {"lost", "\033[31m"},       {"down", "\033[31m"},
        {"pending", "\033[33m"}, {"blocked", "\033[33m"},    {"starting", "\033[33m"},
        {"Failed", "\033[31m"},  {"Terminated", "\033[33m"},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(words[i].word, cell) == 0)
            return words[i].color;
    return NULL;
}

static void print_cell(const struct table *t, FILE *to, const char *cell, bool heading)
{
    const char *color = !t->colors ? NULL : heading ? "\033[1m" : color_of(cell);
    if (color != NULL)
        fprintf(to, "%s%s\033[0m", color, cell);
    else
        fputs(cell, to);
}

static void print_row(const struct table *t, FILE *to, size_t row, const size_t *widths)
{
    char **cells = t->cells + row * t->columns;
    size_t last = t->columns;
    while (last > 1 && cells[last - 1][0] == '\0')
        last--; /* no blanks at the end of a line */
    for (size_t i = 0; i < last; i++) {
        print_cell(t, to, cells[i], row == 0 && !t->pairs);
        if (i + 1 < last)
            fprintf(to, "%*s%s", (int)(widths[i] - width_of(cells[i])), "",
                    t->pairs ? " = " : "  ");
    }
    fputc('\n', to);
}

void table_print(const struct table *t, FILE *to)
{
    size_t widths[TABLE_MAX_COLUMNS] = {0};
    for (size_t i = 0; i < t->count; i++) {
        size_t width = width_of(t->cells[i]);
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    for (size_t row = 0; row < t->count / t->columns; row++)
        print_row(t, to, row, widths);
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    memset(t, 0, sizeof(*t));
}

void pairs_init(struct table *t, bool colors)
{
    memset(t, 0, sizeof(*t));
    t->columns = 2;
    t->colors = colors;
    t->pairs = true;
}

void pairs_add(struct table *t, const char *name, const char *format, ...)
{
    struct strbuf s = STRBUF_INIT;
    va_list args;
    va_start(args, format);
    strbuf_vprintf(&s, format, args);
    va_end(args);
    add_cell(t, name);
    add_cell(t, s.len == 0 ? "<none>" : strbuf_text(&s));
    strbuf_free(&s);
}

void print_section(FILE *to, bool colors, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs(colors ? "\n\033[1m" : "\n", to);
    vfprintf(to, format, args);
    fputs(colors ? "\033[0m\n" : "\n", to);
    va_end(args);
}

void print_clean(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        fputc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c, to);
    }
}
