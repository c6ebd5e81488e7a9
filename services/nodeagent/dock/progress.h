/* How far a pull is, by what the engine says of each layer. */
#ifndef NODEAGENT_DOCK_PROGRESS_H
#define NODEAGENT_DOCK_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LAYERS_MOST 128

struct progress {
    struct layer {
        char id[20];
        uint64_t bytes, size; /* as far as it is known */
        bool done;
    } layers[LAYERS_MOST];
    size_t count;
};

/* One line of the engine's: {"status", "id", "progressDetail": {"current", "total"}}. */
void progress_take(struct progress *p, const json_t *line);
/* "Downloading image X: 2 of 5 layers, 12 of 40 MiB". False: there is nothing to tell. */
bool progress_text(const struct progress *p, const char *image, char *out, size_t room);

#endif
