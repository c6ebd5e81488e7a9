/* check-history FILE: whether the recorded history of every job in it is linearizable (linear.h). A
 * line is "JOB BEGIN END KIND VALUE STOPPED": times in microseconds, END "-" when no answer came,
 * KIND write, stop or read, VALUE -1 for a job that was not there.
 * Exits 0 if it is, 1 if one is not, 2 for a file that says something else. */
#include "base/err.h"
#include "linear.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_JOBS 512

struct history {
    char job[64];
    struct linear_op ops[LINEAR_MOST];
    size_t count;
};

static struct history *histories[MOST_JOBS];
static size_t history_count;

static struct history *history_of(const char *job)
{
    for (size_t i = 0; i < history_count; i++)
        if (strcmp(histories[i]->job, job) == 0)
            return histories[i];
    if (history_count == MOST_JOBS)
        return NULL;
    struct history *h = histories[history_count++] = xcalloc(1, sizeof(*h));
    snprintf(h->job, sizeof(h->job), "%s", job);
    return h;
}

static bool read_kind(const char *text, enum linear_kind *out)
{
    static const char *const kinds[] = {"write", "stop", "read"};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(text, kinds[i]) == 0) {
            *out = (enum linear_kind)i;
            return true;
        }
    return false;
}

static bool read_line(char *line)
{
    char *words[7] = {NULL}, *rest = line;
    size_t n = 0;
    for (char *word; n < 7 && (word = strsep(&rest, " \n")) != NULL;)
        if (*word != '\0')
            words[n++] = word;
    struct linear_op op;
    if (n != 6 || !read_kind(words[3], &op.kind))
        return false;
    struct history *h = history_of(words[0]);
    if (h == NULL || h->count == LINEAR_MOST)
        return false;
    op.begin = strtoull(words[1], NULL, 10);
    op.end = strcmp(words[2], "-") == 0 ? LINEAR_UNKNOWN : strtoull(words[2], NULL, 10);
    op.value = strtoll(words[4], NULL, 10);
    op.stopped = strcmp(words[5], "1") == 0;
    h->ops[h->count++] = op;
    return true;
}

int main(int argc, char **argv)
{
    char line[512];
    unsigned number = 0;
    size_t operations = 0, bad = 0;
    FILE *f = argc == 2 ? fopen(argv[1], "re") : NULL;
    if (f == NULL) {
        fprintf(stderr, "usage: check-history FILE\n");
        return 2;
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        number++;
        if (!read_line(line)) {
            fprintf(stderr, "%s:%u: not an operation\n", argv[1], number);
            fclose(f);
            return 2;
        }
    }
    fclose(f);
    for (size_t i = 0; i < history_count; i++) {
        size_t deepest;
        operations += histories[i]->count;
        if (linear_check(histories[i]->ops, histories[i]->count, &deepest))
            continue;
        bad++;
        printf("job %s: no order of its %zu operations fits; the best one holds %zu\n",
               histories[i]->job, histories[i]->count, deepest);
    }
    printf("%zu jobs, %zu operations: %zu not linearizable\n", history_count, operations, bad);
    for (size_t i = 0; i < history_count; i++)
        free(histories[i]);
    return bad > 0 ? 1 : 0;
}
