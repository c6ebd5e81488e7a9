/* What the parts of taskdock share. */
#ifndef NODEAGENT_DOCK_DOCK_H
#define NODEAGENT_DOCK_DOCK_H

#include "engine.h"

#define CALL_MS      60000
#define DOCK_PATH    512
#define LABEL_ALLOC  "org.norn.alloc"
#define NO_CONTAINER 125 /* the exit code when there could be none */

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
void dock_path(char out[DOCK_PATH], const char *format, const char *name);
/* What came of the container's output, to our own. */
void dock_pass_on(struct dock *d, const char *data, size_t len);
/* With its anonymous volumes, running or not; one that is not there is OK. */
enum err dock_remove(const struct dock *d, const char *name, struct reason *why);

/* command.c. Returns the command's exit code. */
int command_main(const char *socket, const char *name, bool tty, char **words, int count);
/* container.c. Returns the container's exit code, or NO_CONTAINER. */
int container_main(const char *socket, const char *name, const char *spec, const char *state);
/* image.c. What is wanted comes on the standard input. */
int image_main(const char *socket);

#endif
