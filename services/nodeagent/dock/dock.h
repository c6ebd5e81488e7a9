/* What the parts of taskdock share. */
#ifndef NODEAGENT_DOCK_DOCK_H
#define NODEAGENT_DOCK_DOCK_H

#include "engine.h"

#define CALL_MS 60000

struct dock {
    const char *socket, *name;
    json_t *spec;
    struct answer output;
    int signals;
    bool raw; /* a terminal: its output has no frames */
    unsigned char frame[8];
    size_t frame_len;
    uint32_t frame_left;
};

/* A question to its engine, without a body. */
struct question dock_ask(const struct dock *d, const char *method, const char *path);
void dock_path(char out[512], const char *format, const char *name);
/* What came of the container's output, to our own. */
void dock_pass_on(struct dock *d, const char *data, size_t len);

/* command.c. Returns the command's exit code. */
int command_main(const char *socket, const char *name, bool tty, char **words, int count);

#endif
