#include "base/duration.h"
#include "base/nearest.h"
#include "base/strbuf.h"
#include "daemon/settings.h"
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One file may serve all daemons of a machine: the groups of the others are skipped. */
static const char *const services[] = {"jobstore",   "evalbroker", "planqueue", "schedworker",
                                       "controller", "gossip",     "gateway",   "nodeagent",
                                       "dev",        "tls"};

/* The group that all share: its key "x" is the setting "tls_x". */
static const char shared[] = "tls";

#define MOST_SETTINGS 100

static size_t table_names(const struct setting *table, const char *names[MOST_SETTINGS])
{
    size_t count = 0;
    for (; table[count].name != NULL; count++) {
        must(count < MOST_SETTINGS);
        names[count] = table[count].name;
    }
    return count;
}

const struct setting *settings_find(const struct setting *table, const char *name, char separator)
{
    for (; table->name != NULL; table++) {
        const char *a = table->name, *b = name;
        while (*a != '\0' && (*a == *b || (*a == '_' && *b == separator)))
            a++, b++;
        if (*a == '\0' && *b == '\0')
            return table;
    }
    return NULL;
}

/* ---- one value, from a text */

static bool parse_number(const char *text, uint64_t *out, const char **rest)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0;
}

static bool parse_msec(const char *text, uint64_t *out)
{
    const char *rest;
    if (parse_number(text, out, &rest) && *rest == '\0')
        return true;
    int64_t ns;
    if (!duration_parse(text, &ns) || ns < 0)
        return false;
    *out = (uint64_t)ns / 1000000;
    return true;
}

static bool parse_size(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    const char *rest;
    if (!parse_number(text, out, &rest))
        return false;
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strcmp(rest, units[i].name) == 0 && *out <= UINT64_MAX >> units[i].shift) {
            *out <<= units[i].shift;
            return true;
        }
    return false;
}

static bool parse_bool(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static bool is_address(const char *text)
{
    return (strncmp(text, "ipc:///", 7) == 0 && text[7] != '\0') ||
           (strncmp(text, "tcp://", 6) == 0 && text[6] != '\0') ||
           (strncmp(text, "tls+tcp://", 10) == 0 && text[10] != '\0');
}

static const char *const expected[] = {
    [SET_TEXT] = "a text",
    [SET_ADDR] = "an address such as ipc:///run/norn/x.sock or tls+tcp://10.0.0.1:4647",
    [SET_PATH] = "a path",
    [SET_MSEC] = "a duration such as 250ms, 10s, or a number of milliseconds",
    [SET_COUNT] = "a whole number from 0 up",
    [SET_SIZE] = "a size such as 64KiB, 10MiB, or a number of bytes",
    [SET_BOOL] = "true or false",
    [SET_LIST] = "texts separated by commas",
};

static enum err set_value(const struct setting *s, void *target, const char *text,
                          struct reason *why)
{
    void *field = (char *)target + s->offset;
    const char *rest;
    bool good = true;
    switch (s->kind) {
    case SET_MSEC:
        good = parse_msec(text, field);
        break;
    case SET_SIZE:
        good = parse_size(text, field);
        break;
    case SET_COUNT:
        good = parse_number(text, field, &rest) && *rest == '\0';
        break;
    case SET_BOOL:
        good = parse_bool(text, field);
        break;
    case SET_ADDR:
        good = is_address(text);
        /* fall through */
    case SET_TEXT:
    case SET_PATH:
    case SET_LIST:
        if (good)
            *(const char **)field = xstrdup(text);
    }
    return good ? OK
                : reason_set(why, ERR_INVALID, "%s is \"%s\"; it takes %s", s->name, text,
                             expected[s->kind]);
}

/* ---- the file */

static bool add_element(const config_setting_t *value, struct strbuf *out)
{
    switch (config_setting_type(value)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        strbuf_printf(out, "%lld", config_setting_get_int64(value));
        return true;
    case CONFIG_TYPE_BOOL:
        strbuf_puts(out, config_setting_get_bool(value) ? "true" : "false");
        return true;
    case CONFIG_TYPE_STRING:
        strbuf_puts(out, config_setting_get_string(value));
        return true;
    default:
        return false;
    }
}

/* A value of the file as the text that an option would have. */
static bool value_text(const struct setting *s, const config_setting_t *value, struct strbuf *out)
{
    if (s->kind != SET_LIST || !config_setting_is_aggregate(value))
        return add_element(value, out);
    if (config_setting_is_group(value))
        return false;
    for (int i = 0; i < config_setting_length(value); i++) {
        if (i > 0)
            strbuf_putc(out, ',');
        if (!add_element(config_setting_get_elem(value, (unsigned)i), out))
            return false;
    }
    return true;
}

static enum err unknown_name(const char *what, const char *name, const char *const *names,
                             size_t count, struct reason *why)
{
    const char *near = nearest_name(name, names, count);
    if (near != NULL)
        return reason_set(why, ERR_INVALID, "unknown %s \"%s\"; did you mean \"%s\"?", what, name,
                          near);
    return reason_set(why, ERR_INVALID, "unknown %s \"%s\"; --help lists them", what, name);
}

/* The setting that the key stands for: in the shared group, "x" for "tls_x". */
static const struct setting *find_key(const struct setting *table, const char *key, bool in_shared)
{
    char name[100];
    if (!in_shared)
        return settings_find(table, key, '_');
    snprintf(name, sizeof(name), "%s_%s", shared, key);
    return settings_find(table, name, '_');
}

static enum err unknown_key(const struct setting *table, const char *key, bool in_shared,
                            struct reason *why)
{
    const char *names[MOST_SETTINGS];
    size_t count = table_names(table, names), kept = 0, prefix = sizeof(shared);
    for (size_t i = 0; i < count && in_shared; i++)
        if (strncmp(names[i], shared, prefix - 1) == 0 && names[i][prefix - 1] == '_')
            names[kept++] = names[i] + prefix;
    return unknown_name("setting", key, names, in_shared ? kept : count, why);
}

static enum err read_group(const struct setting *table, const config_setting_t *group,
                           bool in_shared, const char *path, void *target, struct reason *why)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *value = config_setting_get_elem(group, (unsigned)i);
        const char *key = config_setting_name(value);
        const struct setting *s = find_key(table, key, in_shared);
        struct strbuf text = STRBUF_INIT;
        enum err e;
        if (s == NULL)
            e = unknown_key(table, key, in_shared, why);
        else if (!value_text(s, value, &text))
            e = reason_set(why, ERR_INVALID, "%s takes %s", key, expected[s->kind]);
        else
            e = set_value(s, target, strbuf_text(&text), why);
        strbuf_free(&text);
        if (e != OK)
            return reason_add(why, e, "%s:%u", path, config_setting_source_line(value));
    }
    return OK;
}

static bool is_known(const char *group, const char *service)
{
    bool known = strcmp(group, service) == 0;
    for (size_t k = 0; k < COUNT_OF(services); k++)
        known |= strcmp(group, services[k]) == 0;
    return known;
}

static enum err check_group(const config_setting_t *group, const char *service, const char *path,
                            struct reason *why)
{
    const char *name = config_setting_name(group);
    unsigned line = config_setting_source_line(group);
    if (!is_known(name, service)) {
        enum err e = unknown_name("group", name, services, COUNT_OF(services), why);
        return reason_add(why, e, "%s:%u", path, line);
    }
    if (!config_setting_is_group(group))
        return reason_set(why, ERR_INVALID, "%s:%u: %s takes a group: %s = { ... };", path, line,
                          name, name);
    return OK;
}

static enum err read_named(const struct setting *table, const config_setting_t *root,
                           const char *name, bool in_shared, const char *path, void *target,
                           struct reason *why)
{
    const config_setting_t *group = config_setting_get_member(root, name);
    return group != NULL ? read_group(table, group, in_shared, path, target, why) : OK;
}

/* A table without settings of the shared group has nothing to do with it: a tool's, a test's. */
static bool has_shared(const struct setting *table)
{
    size_t prefix = sizeof(shared) - 1;
    for (; table->name != NULL; table++)
        if (strncmp(table->name, shared, prefix) == 0 && table->name[prefix] == '_')
            return true;
    return false;
}

static enum err read_config(const struct setting *table, const config_t *config,
                            const char *service, const char *path, void *target, struct reason *why)
{
    const config_setting_t *root = config_root_setting(config);
    for (int i = 0; i < config_setting_length(root); i++) {
        enum err e = check_group(config_setting_get_elem(root, (unsigned)i), service, path, why);
        if (e != OK)
            return e;
    }
    enum err e = has_shared(table) ? read_named(table, root, shared, true, path, target, why) : OK;
    return e == OK ? read_named(table, root, service, false, path, target, why) : e;
}

static enum err read_file(const struct setting *table, const char *service, const char *path,
                          void *target, struct reason *why)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return reason_errno(why, ERR_NOT_FOUND, "open the settings %s", path);
    config_t config;
    config_init(&config);
    enum err e;
    if (config_read(&config, file) == CONFIG_TRUE)
        e = read_config(table, &config, service, path, target, why);
    else
        e = reason_set(why, ERR_INVALID, "%s:%d: %s", path, config_error_line(&config),
                       config_error_text(&config));
    config_destroy(&config);
    fclose(file);
    return e;
}

/* ---- the options */

/* Takes "--name value", "--name=value", or "--name" of a bool; *i moves to its last word. s stays
 * NULL for --config. */
static enum err read_option(const struct setting *table, int argc, char **argv, int *i,
                            const struct setting **s, char *name, size_t room, const char **value,
                            struct reason *why)
{
    const char *word = argv[*i];
    must(word != NULL);
    if (strncmp(word, "--", 2) != 0)
        return reason_set(why, ERR_INVALID, "\"%s\" is not an option; --help lists them", word);
    const char *equals = strchr(word, '=');
    snprintf(name, room, "%.*s", equals != NULL ? (int)(equals - word - 2) : (int)strlen(word),
             word + 2);
    *s = settings_find(table, name, '-');
    if (*s == NULL && strcmp(name, "config") != 0) {
        const char *names[MOST_SETTINGS];
        return unknown_name("option", name, names, table_names(table, names), why);
    }
    if (equals != NULL)
        *value = equals + 1;
    else if (*s != NULL && (*s)->kind == SET_BOOL &&
             (*i + 1 == argc || strncmp(argv[*i + 1], "--", 2) == 0))
        *value = "true";
    else if (*i + 1 < argc)
        *value = argv[++*i];
    else
        return reason_set(why, ERR_INVALID, "--%s needs a value", name);
    return OK;
}

/* Goes over the options: sets them, or only looks for --config. */
static enum err read_options(const struct setting *table, void *target, int argc, char **argv,
                             const char **config, struct reason *why)
{
    for (int i = 1; i < argc; i++) {
        const struct setting *s = NULL;
        const char *value = NULL;
        char name[100];
        enum err e = read_option(table, argc, argv, &i, &s, name, sizeof(name), &value, why);
        if (e == OK && s == NULL)
            *config = value;
        else if (e == OK && target != NULL && value != NULL)
            e = set_value(s, target, value, why);
        if (e != OK)
            return e;
    }
    return OK;
}

enum err settings_load(const struct setting *table, const char *service, void *target, int argc,
                       char **argv, struct reason *why)
{
    const char *config = NULL;
    enum err e = OK;
    for (const struct setting *s = table; s->name != NULL && e == OK; s++)
        if (s->fallback != NULL)
            e = set_value(s, target, s->fallback, why);
    must(e == OK); /* a default that its own kind does not take */
    e = read_options(table, NULL, argc, argv, &config, why);
    if (e == OK && config != NULL)
        e = read_file(table, service, config, target, why);
    if (e == OK)
        e = read_options(table, target, argc, argv, &config, why);
    for (const struct setting *s = table; s->name != NULL && e == OK; s++)
        if (s->fallback == NULL && *(void **)(void *)((char *)target + s->offset) == NULL)
            e = reason_set(why, ERR_INVALID, "%s must be given: %s", s->name, s->help);
    return e;
}

void settings_print_help(const struct setting *table, FILE *out)
{
    static const char *const placeholder[] = {
        [SET_TEXT] = "TEXT", [SET_ADDR] = "ADDRESS", [SET_PATH] = "PATH", [SET_MSEC] = "TIME",
        [SET_COUNT] = "N",   [SET_SIZE] = "SIZE",    [SET_BOOL] = "BOOL", [SET_LIST] = "A,B,...",
    };
    for (const struct setting *s = table; s->name != NULL; s++) {
        char option[100];
        size_t len = (size_t)snprintf(option, sizeof(option), "--%s", s->name);
        for (size_t i = 0; i < len; i++)
            if (option[i] == '_')
                option[i] = '-';
        fprintf(out, "  %s %s\n      %s", option, placeholder[s->kind], s->help);
        if (s->fallback == NULL)
            fputs(" (must be given)\n", out);
        else if (s->fallback[0] != '\0')
            fprintf(out, " (default %s)\n", s->fallback);
        else
            fputc('\n', out);
    }
}
