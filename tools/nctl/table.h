/* What people read: tables with a heading, and lists of "Name = value". Columns are as wide as
 * their widest cell; what came from outside is cleaned of control characters, so that no job's name
 * moves a terminal's cursor. */
#ifndef NCTL_TABLE_H
#define NCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_MAX_COLUMNS = 16 };

struct table {
    size_t columns;
    size_t count, room; /* cells */
    char **cells;       /* the heading first, row by row */
    bool colors;
    bool pairs; /* "a = b", without heading */
};

/* heading: "ID|Node ID|Status". */
void table_init(struct table *t, const char *heading, bool colors);
/* One text per column; NULL is "". Copied. */
void table_row(struct table *t, const char *const *cells);
#define TABLE_ROW(t, ...) table_row((t), (const char *const[TABLE_MAX_COLUMNS]){__VA_ARGS__})
void table_print(const struct table *t, FILE *to);
void table_free(struct table *t);

void pairs_init(struct table *t, bool colors);
void pairs_add(struct table *t, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A line that heads a section; bold on a terminal. */
void print_section(FILE *to, bool colors, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints text with control characters other than newline and tab replaced. */
void print_clean(FILE *to, const char *text);

#endif
