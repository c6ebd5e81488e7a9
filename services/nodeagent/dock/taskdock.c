/* taskdock: stands for a container in the place of a task's process, below a taskshim like any
 * other. What the container writes it writes, the signals it gets it passes on, and it ends with
 * the container's exit code. So output, adoption, restarts and limits of time are taskshim's.
 *
 *   taskdock image SOCKET             brings the image, before there is a task (image.c)
 *   taskdock run SOCKET NAME SPEC STATE
 *                                     makes, starts and follows the container. SPEC is JSON:
 *                                     {"create": the engine's words, "root": the task's directory,
 *                                     "own": paths below it that must be there, "netns": path}.
 *                                     What has a + before it in its environment is the container's.
 *                                     STATE is a file for the agent: the container's cgroups, and
 *                                     of its end what its exit code does not tell
 *   taskdock remove SOCKET ALLOC      of an allocation that is over, whatever is left; prints "ok"
 *   taskdock collect SOCKET DIR SECONDS
 *                                     removes images that tasks no longer use (collect.h)
 *   taskdock exec SOCKET NAME tty|pipes COMMAND...
 *                                     a command in the container, at its own standard streams
 *
 * Exits     as the container, or the command; 125 when there could be none: why is its last line on
 * stderr */
#include "collect.h"
#include "dock.h"
#include <stdio.h>
#include <string.h>

static int remove_main(const char *socket, const char *alloc)
{
    struct dock d = {.socket = socket};
    struct reason why = {""};
    char path[DOCK_PATH];
    json_t *found = NULL, *one;
    size_t i;
    snprintf(path, sizeof path,
             "/containers/json?all=1&filters=%%7B%%22label%%22%%3A%%5B%%22" LABEL_ALLOC
             "%%3D%s%%22%%5D%%7D",
             alloc);
    struct question q = dock_ask(&d, "GET", path);
    enum err e = engine_call(&q, &found, &why);
    json_array_foreach(found, i, one)
    {
        const char *id = json_string_value(json_object_get(one, "Id"));
        if (e == OK && id != NULL)
            e = dock_remove(&d, id, &why);
    }
    json_decref(found);
    printf("%s\n", e == OK ? "ok" : why.text);
    return e == OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    if (argc == 3 && strcmp(verb, "image") == 0)
        return image_main(argv[2]);
    if (argc == 6 && strcmp(verb, "run") == 0)
        return container_main(argv[2], argv[3], argv[4], argv[5]);
    if (argc == 4 && strcmp(verb, "remove") == 0)
        return remove_main(argv[2], argv[3]);
    if (argc == 5 && strcmp(verb, "collect") == 0)
        return collect_main(argv[2], argv[3], argv[4]);
    if (argc > 5 && strcmp(verb, "exec") == 0)
        return command_main(argv[2], argv[3], strcmp(argv[4], "tty") == 0, argv + 5, argc - 5);
    fprintf(stderr, "taskdock is started by nodeagent, one for each container\n");
    return 2;
}
