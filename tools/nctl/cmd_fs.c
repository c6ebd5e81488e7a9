/* The files of an allocation. */
#include "base/err.h"
#include "client.h"
#include "resolve.h"
#include "show.h"
#include "stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    struct client *client;
    const struct args *args;
    const char *alloc_id;
    const char *path; /* inside the allocation */
};

static char *address(const struct place *p, const char *what, struct strbuf *query)
{
    struct strbuf before = STRBUF_INIT;
    strbuf_printf(&before, "/v1/client/fs/%s/", what);
    query_add(query, "path", p->path);
    char *path = path_of(strbuf_text(&before), p->alloc_id, "");
    strbuf_free(&before);
    return path;
}

static bool ask(const struct place *p, const char *what, struct answer *out)
{
    struct strbuf query = STRBUF_INIT;
    char *path = address(p, what, &query);
    bool ok = client_get(p->client, out, path, strbuf_text(&query));
    if (ok && out->json == NULL) {
        fprintf(stderr, "Unexpected response code: %ld (%.2000s)\n", out->status,
                strbuf_text(&out->text));
        ok = false;
    }
    strbuf_free(&query);
    free(path);
    return ok;
}

static void add_file(struct table *t, const struct args *args, const json_t *file, bool with_type)
{
    const char *size = args_has(args, "H") ? show("%lld", (long long)number_at(file, "Size"))
                                           : show_bytes((double)number_at(file, "Size"));
    const char *name = show("%s%s", text_at(file, "Name"), flag_at(file, "IsDir") ? "/" : "");
    const char *time = show_time(time_parse(text_at(file, "ModTime")), true);
    if (with_type)
        TABLE_ROW(t, text_at(file, "FileMode"), size, time, text_at(file, "ContentType"), name);
    else
        TABLE_ROW(t, text_at(file, "FileMode"), size, time, name);
}

static int fs_list(const struct place *p)
{
    struct answer a;
    struct table t;
    size_t i;
    json_t *file;
    int code = EXIT_ERROR;
    if (ask(p, "ls", &a)) {
        code = EXIT_OK;
        if (args_has(p->args, "json"))
            print_json(a.json);
        else {
            table_init(&t, "Mode|Size|Modified Time|Name", client_colors(p->client));
            json_array_foreach(a.json, i, file) add_file(&t, p->args, file, false);
            table_print(&t, stdout);
            table_free(&t);
        }
    }
    answer_free(&a);
    return code;
}

static void print_stat(const struct place *p, const json_t *file)
{
    struct table t;
    if (args_has(p->args, "json")) {
        print_json(file);
        return;
    }
    table_init(&t, "Mode|Size|Modified Time|Content Type|Name", client_colors(p->client));
    add_file(&t, p->args, file, true);
    table_print(&t, stdout);
    table_free(&t);
}

static int fs_stat(const struct place *p)
{
    struct answer a;
    bool ok = ask(p, "stat", &a);
    if (ok)
        print_stat(p, a.json);
    answer_free(&a);
    return ok ? EXIT_OK : EXIT_ERROR;
}

static int fs_cat(const struct place *p)
{
    struct strbuf query = STRBUF_INIT;
    char *path = address(p, "stream", &query);
    int code = stream_print(p->client, p->args, path, &query);
    strbuf_free(&query);
    free(path);
    return code;
}

/* cat looks first: the server answers 200 to a cat of what is not there. */
static int fs_cat_file(const struct place *p)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (ask(p, "stat", &a)) {
        if (flag_at(a.json, "IsDir"))
            fprintf(stderr, "%s is a directory: try \"nctl fs ls\"\n", p->path);
        else
            code = fs_cat(p);
    }
    answer_free(&a);
    return code;
}

/* As Nomad's users know it: a directory is listed, a file is printed. */
static int fs_look(const struct place *p)
{
    struct answer a;
    int code = EXIT_ERROR;
    if (args_has(p->args, "stat"))
        return fs_stat(p);
    if (ask(p, "stat", &a))
        code = flag_at(a.json, "IsDir") ? fs_list(p) : fs_cat(p);
    answer_free(&a);
    return code;
}

static int run_at(const struct args *args, int first, int (*act)(const struct place *p))
{
    if (args->count <= first) {
        fprintf(stderr, "too few arguments. Usage: nctl %s %s\n", args->command->name,
                args->command->usage);
        return EXIT_ERROR;
    }
    struct client *c = client_open(args);
    json_t *found = c != NULL ? resolve_or_say(c, "alloc", args->items[first]) : NULL;
    struct place p = {c, args, text_at(found, "ID"),
                      args->count > first + 1 ? args->items[first + 1] : "/"};
    int code = found != NULL ? act(&p) : EXIT_ERROR;
    json_decref(found);
    client_close(c);
    return code;
}

static int run_fs(const struct args *args)
{
    static const struct {
        const char *word;
        int (*act)(const struct place *p);
    } words[] = {{"ls", fs_list}, {"cat", fs_cat_file}, {"stat", fs_stat}};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(args->items[0], words[i].word) == 0)
            return run_at(args, 1, words[i].act);
    if (args->count > 2) {
        fprintf(stderr, "\"%s\" is neither ls, cat nor stat. Usage: nctl %s %s\n", args->items[0],
                args->command->name, args->command->usage);
        return EXIT_ERROR;
    }
    return run_at(args, 0, fs_look);
}

static const struct flag fs_flags[] = {
    {"H", FLAG_BOOL, NULL, "sizes in bytes"},
    {"stat", FLAG_BOOL, NULL, "about the file or directory itself"},
    {"f", FLAG_BOOL, NULL, "follow: print what is added, until interrupted"},
    {"tail", FLAG_BOOL, NULL, "only the end: the last 10 lines, or -n, or -c"},
    {"n", FLAG_NUMBER, "LINES", "with -tail: that many lines"},
    {"c", FLAG_NUMBER, "BYTES", "with -tail: that many bytes"},
    {"verbose", FLAG_BOOL, NULL, "accepted; nothing is left out"},
    {"json", FLAG_BOOL, NULL, "print JSON, for programs (ls, stat)"},
    FLAG_END,
};

const struct command commands_fs[] = {
    {"fs", "alloc fs", "[ls|cat|stat] <alloc> [path]", "files of an allocation",
     "\"fs ls\" lists a directory, \"fs cat\" prints a file, \"fs stat\" tells about either; "
     "without "
     "the word, a directory is listed and a file printed. Logs are alloc/logs/TASK.stdout.0 and so "
     "on; a task's own directories TASK/local, TASK/secrets, TASK/tmp.",
     fs_flags, 1, 3, run_fs},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
