#include "gpu/nvml.h"
#include <dlfcn.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CARDS 1024

/* What is used of the library: its functions answer 0 when all is well. */
struct nvml_memory {
    unsigned long long total, unused, used;
};
struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_string)(int code);
    int (*driver_version)(char *out, unsigned room);
    int (*count)(unsigned *out);
    int (*card)(unsigned index, void **out);
    int (*uuid)(void *card, char *out, unsigned room);
    int (*name)(void *card, char *out, unsigned room);
    int (*minor)(void *card, unsigned *out);
    int (*memory)(void *card, struct nvml_memory *out);
};

#define FIND(slot, function)                                                                       \
    ((slot) = (__typeof__(slot))(uintptr_t)dlsym(library, function)) != NULL

static bool find_functions(void *library, struct nvml *n)
{
    return FIND(n->init, "nvmlInit_v2") && FIND(n->shutdown, "nvmlShutdown") &&
           FIND(n->error_string, "nvmlErrorString") &&
           FIND(n->driver_version, "nvmlSystemGetDriverVersion") &&
           FIND(n->count, "nvmlDeviceGetCount_v2") &&
           FIND(n->card, "nvmlDeviceGetHandleByIndex_v2") && FIND(n->uuid, "nvmlDeviceGetUUID") &&
           FIND(n->name, "nvmlDeviceGetName") && FIND(n->minor, "nvmlDeviceGetMinorNumber") &&
           FIND(n->memory, "nvmlDeviceGetMemoryInfo");
}

/* The entry for cards of this name, made when there is none. */
static json_t *kind_of(json_t *devices, const char *name)
{
    size_t i;
    json_t *kind;
    json_array_foreach(devices, i, kind)
    {
        if (strcmp(json_string_value(json_object_get(kind, "name")), name) == 0)
            return kind;
    }
    kind = json_pack("{s:s, s:s, s:s, s:[], s:{s:s, s:s}}", "vendor", "nvidia", "type", "gpu",
                     "name", name, "instances", "attributes", "env", "NVIDIA_VISIBLE_DEVICES",
                     "path", "/dev/nvidiactl,/dev/nvidia-uvm,/dev/nvidia-uvm-tools");
    json_array_append_new(devices, kind);
    return kind;
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, json_string(text));
}

static void set_attributes(const struct nvml *n, json_t *attributes,
                           const struct nvml_memory *memory)
{
    char text[96];
    if (memory->total > 0) {
        snprintf(text, sizeof text, "%llu MiB", memory->total >> 20);
        set_text(attributes, "memory", text);
    }
    if (n->driver_version(text, sizeof text) == 0)
        set_text(attributes, "driver_version", text);
}

/* One that does not even tell its id cannot be listed. */
static void add_card(const struct nvml *n, unsigned index, json_t *devices)
{
    void *card;
    unsigned minor;
    char id[96], name[96], key[128], path[64];
    struct nvml_memory memory = {0};
    if (n->card(index, &card) != 0 || n->uuid(card, id, sizeof id) != 0 ||
        n->name(card, name, sizeof name) != 0)
        return;
    for (char *slash = name; (slash = strchr(slash, '/')) != NULL;)
        *slash = '-';
    int failed = n->memory(card, &memory);
    json_t *kind = kind_of(devices, name), *attributes = json_object_get(kind, "attributes");
    json_t *one = json_pack("{s:s, s:b}", "id", id, "healthy", failed == 0);
    if (failed != 0)
        set_text(one, "health_description", n->error_string(failed));
    json_array_append_new(json_object_get(kind, "instances"), one);
    set_attributes(n, attributes, &memory);
    if (n->minor(card, &minor) == 0) {
        snprintf(key, sizeof key, "path.%s", id);
        snprintf(path, sizeof path, "/dev/nvidia%u", minor);
        set_text(attributes, key, path);
    }
}

static enum err list_cards(const struct nvml *n, struct strbuf *out, struct reason *why)
{
    unsigned count;
    int failed = n->count(&count);
    if (failed != 0)
        return reason_set(why, ERR_INVALID, "cards are not counted: %s", n->error_string(failed));
    json_t *list = json_pack("{s:[]}", "devices");
    for (unsigned i = 0; i < count && i < MOST_CARDS; i++)
        add_card(n, i, json_object_get(list, "devices"));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    if (text == NULL)
        return reason_set(why, ERR_INVALID, "a card tells what is no text");
    strbuf_add(out, text, strlen(text));
    free(text);
    return OK;
}

static enum err ask(void *library, struct strbuf *out, struct reason *why)
{
    struct nvml n;
    if (!find_functions(library, &n))
        return reason_set(why, ERR_INVALID, "the driver's library is too old: %s", dlerror());
    int failed = n.init();
    if (failed != 0)
        return reason_set(why, ERR_INVALID, "the driver does not answer: %s",
                          n.error_string(failed));
    enum err e = list_cards(&n, out, why);
    n.shutdown();
    return e;
}

enum err nvml_list(const char *library, struct strbuf *out, struct reason *why)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return reason_set(why, ERR_INVALID, "%s", dlerror());
    enum err e = ask(handle, out, why);
    dlclose(handle);
    return e;
}
