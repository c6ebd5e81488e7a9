#include "progress.h"
#include <stdio.h>
#include <string.h>

static struct layer *layer_of(struct progress *p, const char *id)
{
    for (size_t i = 0; i < p->count; i++)
        if (strncmp(p->layers[i].id, id, sizeof p->layers[i].id - 1) == 0)
            return &p->layers[i];
    if (p->count == LAYERS_MOST)
        return NULL;
    struct layer *l = &p->layers[p->count++];
    snprintf(l->id, sizeof l->id, "%s", id);
    return l;
}

static bool is_one_of(const char *status, const char *const *list)
{
    while (*list != NULL && strcmp(*list, status) != 0)
        list++;
    return *list != NULL;
}

void progress_take(struct progress *p, const json_t *line)
{
    static const char *const done[] = {"Pull complete", "Already exists", NULL};
    static const char *const known[] = {"Pulling fs layer",   "Waiting",        "Downloading",
                                        "Verifying Checksum", "Extracting",     "Download complete",
                                        "Pull complete",      "Already exists", NULL};
    const char *status = json_string_value(json_object_get(line, "status"));
    const char *id = json_string_value(json_object_get(line, "id"));
    struct layer *l;
    if (status == NULL || id == NULL || !is_one_of(status, known) || (l = layer_of(p, id)) == NULL)
        return;
    const json_t *detail = json_object_get(line, "progressDetail");
    json_int_t bytes = json_integer_value(json_object_get(detail, "current"));
    json_int_t size = json_integer_value(json_object_get(detail, "total"));
    if (strcmp(status, "Downloading") == 0 && bytes > 0 && size >= bytes) {
        l->bytes = (uint64_t)bytes;
        l->size = (uint64_t)size;
    } else if (strcmp(status, "Downloading") != 0) {
        l->bytes = l->size;
    }
    l->done = is_one_of(status, done);
}

bool progress_text(const struct progress *p, const char *image, char *out, size_t room)
{
    uint64_t bytes = 0, size = 0;
    size_t done = 0;
    for (size_t i = 0; i < p->count; i++) {
        bytes += p->layers[i].bytes;
        size += p->layers[i].size;
        done += p->layers[i].done;
    }
    if (p->count > 0)
        snprintf(out, room, "Downloading image %.100s: %zu of %zu layers, %llu of %llu MiB", image,
                 done, p->count, (unsigned long long)(bytes >> 20),
                 (unsigned long long)(size >> 20));
    return p->count > 0;
}
