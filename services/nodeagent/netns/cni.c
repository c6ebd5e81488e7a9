#include "cni.h"
#include "cni_config.h"
#include "plugin.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CNI_PATH_SIZE 4096
#define FILES_MOST    256

/* ---- configurations */

static enum err read_file(const char *path, struct strbuf *out, struct reason *why)
{
    char part[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return reason_errno(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s", path);
    while ((n = read(fd, part, sizeof part)) > 0 && out->len <= 4 * CNI_TEXT_MOST)
        strbuf_add(out, part, (size_t)n);
    enum err e = n < 0 ? reason_errno(why, ERR_IO, "%s", path) : OK;
    close(fd);
    if (e == OK && n > 0)
        e = reason_set(why, ERR_INVALID, "%s is larger than it may be", path);
    return e;
}

static json_t *read_config(const char *dir, const char *file, struct reason *why)
{
    char path[CNI_PATH_SIZE];
    struct strbuf text = STRBUF_INIT;
    json_t *list = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (read_file(path, &text, why) == OK) {
        list = cni_parse(strbuf_text(&text), text.len, why);
        if (list == NULL)
            reason_add(why, ERR_INVALID, "%s", path);
    }
    strbuf_free(&text);
    return list;
}

static int is_config(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && entry->d_name[0] != '.' &&
           (strcmp(dot, ".conflist") == 0 || strcmp(dot, ".conf") == 0 ||
            strcmp(dot, ".json") == 0);
}

/* Of two of one name the first by the name of its file counts. */
static json_t *find_config(const struct cni *c, struct reason *why)
{
    struct dirent **files;
    json_t *found = NULL;
    int count = scandir(c->config_dir, &files, is_config, alphasort);
    for (int i = 0; i < count; i++) {
        json_t *list = found != NULL ? NULL : read_config(c->config_dir, files[i]->d_name, NULL);
        const char *name = json_string_value(json_object_get(list, "name"));
        if (name != NULL && strcmp(name, c->name) == 0)
            found = json_incref(list);
        json_decref(list);
        free(files[i]);
    }
    if (count >= 0)
        free(files);
    if (found == NULL)
        reason_set(why, ERR_NOT_FOUND, "no configuration in %s has the name \"%s\"", c->config_dir,
                   c->name);
    return found;
}

/* ---- what is kept beside the namespace */

static void record_path(const struct cni *c, const char *id, const char *suffix,
                        char out[CNI_PATH_SIZE])
{
    snprintf(out, CNI_PATH_SIZE, "%s/%s/cni.json%s", c->dir, id, suffix);
}

static enum err write_record(const struct cni *c, const char *id, const json_t *record,
                             struct reason *why)
{
    char path[CNI_PATH_SIZE], fresh[CNI_PATH_SIZE];
    record_path(c, id, "", path);
    record_path(c, id, ".new", fresh);
    if (json_dump_file(record, fresh, JSON_COMPACT) != 0 || rename(fresh, path) != 0)
        return reason_errno(why, ERR_IO, "write %s", path);
    return OK;
}

/* *out NULL: there is none. */
static enum err read_record(const struct cni *c, const char *id, json_t **out, struct reason *why)
{
    char path[CNI_PATH_SIZE];
    struct strbuf text = STRBUF_INIT;
    *out = NULL;
    record_path(c, id, "", path);
    enum err e = read_file(path, &text, why);
    if (e == OK && (*out = json_loadb(strbuf_text(&text), text.len, 0, NULL)) == NULL)
        e = reason_set(why, ERR_CORRUPT, "%s cannot be read", path);
    strbuf_free(&text);
    return e == ERR_NOT_FOUND ? OK : e;
}

/* ---- the chain */

/* One allocation's chain of plugins, and what they have said. */
struct chain {
    const struct cni *cni;
    const char *id, *args;
    char netns[CNI_PATH_SIZE]; /* "": it is gone */
    json_t *list, *runtime;    /* borrowed */
    json_t *previous;          /* NULL: nothing yet */
};

static void find_netns(struct chain *k)
{
    struct statfs fs;
    snprintf(k->netns, sizeof k->netns, "%s/%s/net", k->cni->dir, k->id);
    if (statfs(k->netns, &fs) != 0 || fs.f_type != NSFS_MAGIC)
        k->netns[0] = '\0';
}

static size_t length(const struct chain *k)
{
    return json_array_size(json_object_get(k->list, "plugins"));
}

static enum err ask(const struct chain *k, size_t i, const char *command, struct strbuf *out,
                    struct reason *why)
{
    const json_t *plugin = json_array_get(json_object_get(k->list, "plugins"), i);
    char *input = cni_request(k->list, i, k->previous, k->runtime);
    const struct plugin_call call = {
        .path = k->cni->path,
        .plugin = json_string_value(json_object_get(plugin, "type")),
        .command = command,
        .id = k->id,
        .netns = k->netns,
        .args = k->args,
        .input = input,
    };
    enum err e = call.plugin == NULL ? ERR_CORRUPT : plugin_run(&call, out, why);
    free(input);
    return e;
}

/* Takes the place of what the one before said. */
static enum err take_answer(struct chain *k, size_t i, const struct strbuf *text,
                            struct reason *why)
{
    json_t *answer = json_loadb(strbuf_text(text), text->len, 0, NULL);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return reason_set(why, ERR_UNAVAILABLE, "what plugin %zu of \"%s\" says is not JSON", i + 1,
                          k->cni->name);
    }
    json_decref(k->previous);
    k->previous = answer;
    return OK;
}

static enum err add_all(struct chain *k, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < length(k); i++) {
        struct strbuf text = STRBUF_INIT;
        e = ask(k, i, "ADD", &text, why);
        if (e == OK)
            e = take_answer(k, i, &text, why);
        strbuf_free(&text);
    }
    return e;
}

enum err cni_add(const struct cni *c, const struct netplace *p, char **result, struct reason *why)
{
    struct chain k = {.cni = c, .id = p->id, .args = c->args};
    json_t *list = find_config(c, why);
    if (list == NULL)
        return ERR_NOT_FOUND;
    k.list = list;
    k.runtime = cni_runtime(p, c->args);
    find_netns(&k);
    json_t *record = json_pack("{sO, sO, ss}", "list", list, "runtime", k.runtime, "args", c->args);
    enum err e = write_record(c, p->id, record, why); /* first: a half is taken back, too */
    if (e == OK)
        e = add_all(&k, why);
    if (e == OK)
        json_object_set(record, "result", k.previous);
    if (e == OK)
        e = write_record(c, p->id, record, why);
    if (e == OK)
        *result = json_dumps(k.previous, JSON_COMPACT);
    json_decref(record);
    json_decref(k.previous);
    json_decref(k.runtime);
    json_decref(list);
    return e;
}

/* Borrows from record. */
static struct chain recorded(const struct cni *c, const char *id, const json_t *record)
{
    const char *args = json_string_value(json_object_get(record, "args"));
    struct chain k = {.cni = c,
                      .id = id,
                      .args = args == NULL ? "" : args,
                      .list = json_object_get(record, "list"),
                      .runtime = json_object_get(record, "runtime")};
    if (cni_has_check(k.list))
        k.previous = json_object_get(record, "result");
    find_netns(&k);
    return k;
}

static enum err remove_all(const struct chain *k, struct reason *why)
{
    enum err e = OK;
    for (size_t i = length(k); i-- > 0;) {
        struct strbuf text = STRBUF_INIT;
        enum err one = ask(k, i, "DEL", &text, why);
        e = one != OK ? one : e;
        strbuf_free(&text);
    }
    return e;
}

enum err cni_remove(const struct cni *c, const char *id, struct reason *why)
{
    char path[CNI_PATH_SIZE];
    json_t *record;
    enum err e = read_record(c, id, &record, why);
    if (record == NULL)
        return e;
    const struct chain k = recorded(c, id, record);
    e = remove_all(&k, why);
    json_decref(record);
    record_path(c, id, "", path);
    if (e == OK && unlink(path) != 0)
        e = reason_errno(why, ERR_IO, "remove %s", path);
    return e;
}

enum err cni_check(const struct cni *c, const char *id, struct reason *why)
{
    json_t *record;
    enum err e = read_record(c, id, &record, why);
    if (record == NULL)
        return e;
    const struct chain k = recorded(c, id, record);
    bool wanted = cni_has_check(k.list) && k.netns[0] != '\0' &&
                  !json_is_true(json_object_get(k.list, "disableCheck"));
    for (size_t i = 0; wanted && e == OK && i < length(&k); i++) {
        struct strbuf text = STRBUF_INIT;
        e = ask(&k, i, "CHECK", &text, why);
        strbuf_free(&text);
    }
    json_decref(record);
    return e;
}

/* ---- what there is */

static enum err print_plugin(const struct cni *c, const char *plugin, struct reason *why)
{
    struct strbuf text = STRBUF_INIT;
    const struct plugin_call call = {.path = c->path,
                                     .plugin = plugin,
                                     .command = "VERSION",
                                     .id = "",
                                     .netns = "",
                                     .args = "",
                                     .input = "{\"cniVersion\":\"1.0.0\"}"};
    enum err e = plugin_run(&call, &text, why);
    json_t *said = e == OK ? json_loadb(strbuf_text(&text), text.len, 0, NULL) : NULL;
    const json_t *versions = json_object_get(said, "supportedVersions");
    const char *newest = json_string_value(json_array_get(versions, json_array_size(versions) - 1));
    if (e == OK)
        printf("plugin %s %.32s\n", plugin, newest == NULL ? "0.1.0" : newest);
    json_decref(said);
    strbuf_free(&text);
    return e;
}

static void print_config(const struct cni *c, const char *file)
{
    struct reason why = {""};
    size_t i;
    json_t *plugin, *list = read_config(c->config_dir, file, &why);
    enum err e = list == NULL ? ERR_INVALID : OK;
    json_array_foreach(json_object_get(list, "plugins"), i, plugin)
    {
        if (e == OK)
            e = print_plugin(c, json_string_value(json_object_get(plugin, "type")), &why);
    }
    if (e == OK)
        printf("network %s\n", json_string_value(json_object_get(list, "name")));
    else
        printf("unusable %s: %s\n", file, why.text);
    json_decref(list);
}

void cni_print(const struct cni *c)
{
    struct dirent **files;
    int count = scandir(c->config_dir, &files, is_config, alphasort);
    for (int i = 0; i < count; i++) {
        if (i < FILES_MOST)
            print_config(c, files[i]->d_name);
        free(files[i]);
    }
    if (count >= 0)
        free(files);
}
