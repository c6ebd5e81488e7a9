#include "jobfile/jobfile.h"
#include "map.h"
#include "tree.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By the first letter that counts: a job file in JSON is an object. */
static enum jobfile_format guess(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && isspace((unsigned char)text[i]))
        i++;
    return i < len && text[i] == '{' ? JOBFILE_JSON : JOBFILE_LIBCONFIG;
}

/* "line 3: x" after "hello.job: " becomes "hello.job:3: x", which editors know how to jump to. */
static enum err name_the_file(struct reason *why, enum err e, const char *name)
{
    static const char prefix[] = "line ";
    if (why == NULL || strncmp(why->text, prefix, strlen(prefix)) != 0)
        return reason_add(why, e, "%.100s", name);
    struct reason told = *why;
    char *rest;
    unsigned long line = strtoul(told.text + strlen(prefix), &rest, 10);
    if (strncmp(rest, ": ", 2) != 0)
        return reason_add(why, e, "%.100s", name);
    return reason_set(why, e, "%.100s:%lu: %s", name, line, rest + 2);
}

enum err jobfile_parse(struct arena *a, enum jobfile_format format, const char *name,
                       const char *text, size_t len, Pb__Job **out, struct reason *why)
{
    struct node *root;
    struct reason unused;
    if (why == NULL)
        why = &unused;
    if (len > JOBFILE_MAX_SIZE)
        return reason_set(why, ERR_INVALID,
                          "%.100s: %zu bytes are too many for a job file: at most %u", name, len,
                          JOBFILE_MAX_SIZE);
    if (format == JOBFILE_GUESS)
        format = guess(text, len);
    char *copy = arena_alloc(a, len + 1); /* ends in NUL, which libconfig needs */
    memcpy(copy, text, len);
    enum err e = format == JOBFILE_JSON ? read_json(a, copy, len, &root, why)
                                        : read_libconfig(a, copy, len, &root, why);
    if (e == OK)
        e = map_job(a, format, root, out, why);
    return e == OK ? OK : name_the_file(why, e, name);
}
