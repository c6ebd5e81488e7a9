#include "command.h"
#include "base/err.h"
#include "base/nearest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_WORDS 3 /* of a command's name: "tls ca create" */

const struct flag global_flags[] = {
    {"address", FLAG_TEXT, "URL",
     "where the gateway answers HTTP; else NORN_ADDR, NOMAD_ADDR, http://127.0.0.1:4646"},
    {"namespace", FLAG_TEXT, "NAME", "namespace to work in; else NORN_NAMESPACE, NOMAD_NAMESPACE"},
    {"region", FLAG_TEXT, "NAME", "region to forward to; else NORN_REGION, NOMAD_REGION"},
    {"token", FLAG_TEXT, "TOKEN", "ACL token; else NORN_TOKEN, NOMAD_TOKEN"},
    {"no-color", FLAG_BOOL, NULL, "no colours, also on a terminal; else NO_COLOR"},
    {"help", FLAG_BOOL, NULL, "this text"},
    FLAG_END,
};

static const struct flag_value *args_find(const struct args *a, const char *name)
{
    for (int i = a->value_count - 1; i >= 0; i--)
        if (strcmp(a->values[i].flag->name, name) == 0)
            return &a->values[i];
    return NULL;
}

bool args_has(const struct args *a, const char *name)
{
    const struct flag_value *v = args_find(a, name);
    return v != NULL && (v->flag->kind != FLAG_BOOL || strcmp(v->text, "true") == 0);
}

const char *args_text(const struct args *a, const char *name, const char *fallback)
{
    const struct flag_value *v = args_find(a, name);
    return v != NULL ? v->text : fallback;
}

long args_number(const struct args *a, const char *name, long fallback)
{
    const struct flag_value *v = args_find(a, name);
    return v != NULL ? strtol(v->text, NULL, 10) : fallback;
}

/* Whether words (count of them) are the command's name or one of its aliases; how many words that
 * takes. */
static int name_match(const char *name, size_t name_len, char **words, int count)
{
    int used = 0;
    const char *end = name + name_len;
    while (name < end) {
        size_t len = strcspn(name, " ,");
        if (used == count || strlen(words[used]) != len || memcmp(words[used], name, len) != 0)
            return 0;
        used++;
        name += len;
        while (name < end && *name == ' ')
            name++;
    }
    return used;
}

static int command_match(const struct command *c, char **words, int count)
{
    int best = name_match(c->name, strlen(c->name), words, count);
    for (const char *alias = c->aliases; alias != NULL && *alias != '\0';) {
        size_t len = strcspn(alias, ",");
        int used = name_match(alias, len, words, count);
        best = used > best ? used : best;
        alias += len;
        alias += strspn(alias, ", ");
    }
    return best;
}

/* The command whose name takes most of the leading words. */
static const struct command *command_find(const struct command *const *table, char **words,
                                          int count, int *used)
{
    const struct command *found = NULL;
    *used = 0;
    for (; *table != NULL; table++)
        for (const struct command *c = *table; c->name != NULL; c++) {
            int n = command_match(c, words, count);
            if (n > *used) {
                *used = n;
                found = c;
            }
        }
    return found;
}

static const struct flag *flag_find(const struct flag *flags, const char *name, size_t len)
{
    for (; flags != NULL && flags->name != NULL; flags++)
        if (strlen(flags->name) == len && memcmp(flags->name, name, len) == 0)
            return flags;
    return NULL;
}

/* -h and -version as people type them. */
static const struct flag *flag_of(const struct command *c, const char *name, size_t len)
{
    const struct flag *f = c != NULL ? flag_find(c->flags, name, len) : NULL;
    if (f == NULL)
        f = flag_find(global_flags, name, len);
    if (f == NULL && len == 1 && *name == 'h')
        f = flag_find(global_flags, "help", 4);
    return f;
}

static bool looks_like_flag(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0';
}

/* Whether any command has a flag of this name that takes a value: needed to find the command's
 * words among flags that come first. */
static bool takes_value(const struct command *const *table, const char *name, size_t len)
{
    const struct flag *f = flag_find(global_flags, name, len);
    for (; f == NULL && *table != NULL; table++)
        for (const struct command *c = *table; f == NULL && c->name != NULL; c++)
            f = flag_find(c->flags, name, len);
    return f != NULL && f->kind != FLAG_BOOL;
}

static const char *flag_name(const char *arg, size_t *len)
{
    arg += arg[1] == '-' ? 2 : 1;
    *len = strcspn(arg, "=");
    return arg;
}

/* The first three arguments that are no flags: the words a command may be named by. */
static int leading_words(const struct command *const *table, int argc, char **argv,
                         char *words[MOST_WORDS])
{
    int count = 0;
    for (int i = 0; i < argc && count < MOST_WORDS; i++) {
        if (strcmp(argv[i], "--") == 0)
            break;
        if (!looks_like_flag(argv[i])) {
            words[count++] = argv[i];
            continue;
        }
        size_t len;
        const char *name = flag_name(argv[i], &len);
        if (name[len] == '\0' && takes_value(table, name, len))
            i++;
    }
    return count;
}

/* The commands of two words that begin with this one: "alloc status, alloc logs". */
static void commands_of(const struct command *const *table, const char *noun, char *out,
                        size_t size)
{
    size_t len = strlen(noun), used = 0;
    out[0] = '\0';
    for (; *table != NULL; table++)
        for (const struct command *c = *table; c->name != NULL; c++) {
            const char *names[] = {c->name, c->aliases};
            for (size_t i = 0; i < COUNT_OF(names); i++)
                for (const char *at = names[i]; at != NULL && *at != '\0';) {
                    size_t n = strcspn(at, ",");
                    if (n > len && strncmp(at, noun, len) == 0 && at[len] == ' ' && used < size)
                        used += (size_t)snprintf(out + used, size - used, "%s%.*s",
                                                 used > 0 ? ", " : "", (int)n, at);
                    at += n;
                    at += strspn(at, ", ");
                }
        }
}

static bool unknown_command(const struct command *const *table, char **words, int count,
                            char *error, size_t size)
{
    char typed[128];
    const char *names[256];
    size_t name_count = 0;
    snprintf(typed, sizeof(typed), "%.60s%s%.60s", words[0], count > 1 ? " " : "",
             count > 1 ? words[1] : "");
    char further[200];
    commands_of(table, words[0], further, sizeof(further));
    if (count == 1 && further[0] != '\0') {
        snprintf(error, size, "\"%.60s\" wants a further word: %s", words[0], further);
        return false;
    }
    for (; *table != NULL; table++)
        for (const struct command *c = *table; c->name != NULL && name_count < COUNT_OF(names); c++)
            names[name_count++] = c->name;
    const char *near = nearest_name(typed, names, name_count);
    if (near == NULL)
        near = nearest_name(words[0], names, name_count);
    if (near != NULL)
        snprintf(error, size, "unknown command \"%s\": did you mean \"nctl %s\"?", typed, near);
    else
        snprintf(error, size, "unknown command \"%s\"", typed);
    return false;
}

static bool unknown_flag(const struct command *c, const char *name, size_t len, char *error,
                         size_t size)
{
    const char *names[MAX_FLAGS];
    size_t count = 0;
    char typed[64];
    snprintf(typed, sizeof(typed), "%.*s", (int)(len > 60 ? 60 : len), name);
    for (const struct flag *f = c->flags; f != NULL && f->name != NULL && count < MAX_FLAGS; f++)
        names[count++] = f->name;
    for (const struct flag *f = global_flags; f->name != NULL && count < MAX_FLAGS; f++)
        names[count++] = f->name;
    const char *near = nearest_name(typed, names, count);
    if (near != NULL)
        snprintf(error, size, "unknown flag -%s: did you mean -%s?", typed, near);
    else
        snprintf(error, size, "unknown flag -%s", typed);
    return false;
}

static bool value_is_right(const struct flag *f, const char *text, char *error, size_t size)
{
    if (f->kind == FLAG_BOOL && strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        snprintf(error, size, "-%s=%.60s: must be true or false", f->name, text);
        return false;
    }
    char *end;
    if (f->kind == FLAG_NUMBER && (strtol(text, &end, 10), *end != '\0' || *text == '\0')) {
        snprintf(error, size, "-%s %.60s: must be a whole number", f->name, text);
        return false;
    }
    return true;
}

/* Takes the flag at argv[*i], and its value. */
static bool flag_take(struct args *out, int argc, char **argv, int *i, char *error, size_t size)
{
    size_t len;
    const char *name = flag_name(argv[*i], &len);
    const struct flag *f = flag_of(out->command, name, len);
    if (f == NULL)
        return unknown_flag(out->command, name, len, error, size);
    const char *text = name[len] == '=' ? name + len + 1 : NULL;
    if (text == NULL && f->kind == FLAG_BOOL)
        text = "true";
    if (text == NULL && *i + 1 == argc) {
        snprintf(error, size, "-%s needs a value: %s", f->name, f->value);
        return false;
    }
    if (text == NULL)
        text = argv[++*i];
    if (!value_is_right(f, text, error, size))
        return false;
    if (out->value_count == MAX_FLAGS) {
        snprintf(error, size, "too many flags");
        return false;
    }
    out->values[out->value_count++] = (struct flag_value){f, text};
    return true;
}

static bool count_is_right(const struct args *a, char *error, size_t size)
{
    const struct command *c = a->command;
    if (args_has(a, "help") ||
        (a->count >= c->min_args && (c->max_args < 0 || a->count <= c->max_args)))
        return true;
    if (c->max_args == 0)
        snprintf(error, size, "nctl %s takes no arguments", c->name);
    else
        snprintf(error, size, "%s arguments. Usage: nctl %s %s",
                 a->count < c->min_args ? "too few" : "too many", c->name, c->usage);
    return false;
}

bool args_parse(const struct command *const *table, int argc, char **argv, char **items,
                struct args *out, char *error, size_t error_size)
{
    char *words[MOST_WORDS];
    int used;
    memset(out, 0, sizeof(*out));
    out->items = items;
    int word_count = leading_words(table, argc, argv, words);
    if (word_count == 0) {
        snprintf(error, error_size, "no command given");
        return false;
    }
    out->command = command_find(table, words, word_count, &used);
    if (out->command == NULL)
        return unknown_command(table, words, word_count, error, error_size);
    bool flags_end = false;
    for (int i = 0; i < argc; i++) {
        if (!flags_end && strcmp(argv[i], "--") == 0)
            flags_end = true;
        else if (!flags_end && looks_like_flag(argv[i])) {
            if (!flag_take(out, argc, argv, &i, error, error_size))
                return false;
        } else if (used > 0)
            used--;
        else {
            out->items[out->count++] = argv[i];
            if (out->command->max_args != ARGS_COMMAND || flags_end)
                continue;
            flags_end = true;
            if (i + 1 < argc && strcmp(argv[i + 1], "--") == 0)
                i++;
        }
    }
    return count_is_right(out, error, error_size);
}
