#include "jobsource.h"
#include "base/strbuf.h"
#include "jobfile/jobfile.h"
#include "wire/json.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { READ_LIMIT = 2 << 20 }; /* more than jobfile takes, so that it words the refusal */

static bool read_all(FILE *from, struct strbuf *text)
{
    char block[65536];
    size_t n;
    while (text->len < READ_LIMIT && (n = fread(block, 1, sizeof(block), from)) > 0)
        strbuf_add(text, block, n);
    return ferror(from) == 0;
}

static bool read_path(const char *path, struct strbuf *text)
{
    if (strcmp(path, "-") == 0)
        return read_all(stdin, text);
    FILE *f = fopen(path, "r");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0)
        return false;
    bool ok = !S_ISDIR(st.st_mode) && read_all(f, text);
    int error = S_ISDIR(st.st_mode) ? EISDIR : errno;
    fclose(f);
    errno = error;
    return ok;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

Pb__Job *jobsource_read(struct arena *a, const char *path)
{
    struct strbuf text = STRBUF_INIT;
    struct reason why;
    Pb__Job *job = NULL;
    enum jobfile_format format = ends_with(path, ".json")  ? JOBFILE_JSON
                                 : ends_with(path, ".job") ? JOBFILE_LIBCONFIG
                                                           : JOBFILE_GUESS;
    if (ends_with(path, ".nomad") || ends_with(path, ".hcl")) {
        fprintf(stderr,
                "%s: HCL "
                "is not read yet: give the job in the native form (.job) or in "
                "Nomad's JSON form, as \"nomad job run -output\" prints it\n",
                path);
        return NULL;
    }
    if (!read_path(path, &text))
        fprintf(stderr, "cannot read the job file %s: %s\n", path, strerror(errno));
    else if (jobfile_parse(a, format, strcmp(path, "-") == 0 ? "standard input" : path,
                           strbuf_text(&text), text.len, &job, &why) != OK) {
        fprintf(stderr, "%s\n", why.text);
        job = NULL;
    }
    strbuf_free(&text);
    return job;
}

/* The API prints all numbers of a driver's config as reals; what we send stays as it was written.
 */
static void keep_config(json_t *job, const Pb__Job *from)
{
    for (size_t g = 0; g < from->n_task_groups; g++) {
        const Pb__TaskGroup *group = from->task_groups[g];
        json_t *groups = json_object_get(job, "TaskGroups");
        json_t *tasks = json_object_get(json_array_get(groups, g), "Tasks");
        for (size_t t = 0; t < group->n_tasks; t++)
            if (group->tasks[t]->config_json != NULL)
                json_object_set_new(json_array_get(tasks, t), "Config",
                                    json_loads(group->tasks[t]->config_json, 0, NULL));
    }
}

json_t *jobsource_json(const Pb__Job *job)
{
    json_t *tree = wire_to_json(&job->base);
    keep_config(tree, job);
    return tree;
}

void jobsource_place(const struct client *c, struct arena *arena, Pb__Job *job)
{
    if (job->namespace_ == NULL && client_namespace(c) != NULL)
        job->namespace_ = arena_strdup(arena, client_namespace(c));
    if (job->region == NULL && client_region(c) != NULL)
        job->region = arena_strdup(arena, client_region(c));
}
