#include "daemon/settings.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct thing {
    const char *listen, *name, *peers, *data_dir;
    uint64_t ack_timeout_ms, workers, log_size;
    bool fast;
};

static const struct setting settings[] = {
    SETTING(thing, listen, ADDR, "ipc:///run/n/thing", "where it listens"),
    SETTING(thing, name, TEXT, "", "its name"),
    SETTING(thing, peers, LIST, "", "the others"),
    SETTING(thing, data_dir, PATH, NULL, "where it keeps its data"),
    SETTING(thing, ack_timeout_ms, MSEC, "60000", "how long"),
    SETTING(thing, workers, COUNT, "2", "how many"),
    SETTING(thing, log_size, SIZE, "10MiB", "how large"),
    SETTING(thing, fast, BOOL, "false", "whether"),
    SETTING_END,
};

/* Loads from a file with this text (NULL: none) and these options, up to a NULL. */
static enum err load(struct thing *t, const char *file, struct reason *why,
                     const char *const *options)
{
    char path[] = "/tmp/norn-settings-XXXXXX", *argv[20] = {(char *)"thing"};
    int argc = 1, fd = -1;
    memset(t, 0, sizeof(*t));
    if (file != NULL) {
        fd = mkstemp(path);
        cr_assert_eq(write(fd, file, strlen(file)), (ssize_t)strlen(file));
        close(fd);
        argv[argc++] = (char *)"--config";
        argv[argc++] = path;
    }
    for (; *options != NULL; options++)
        argv[argc++] = (char *)*options;
    enum err e = settings_load(settings, "evalbroker", t, argc, argv, why);
    if (file != NULL)
        unlink(path);
    return e;
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(settings, come_from_defaults_then_the_file_then_the_options)
{
    struct thing t;
    struct reason why;
    cr_assert_eq(load(&t,
                      "evalbroker : { name = \"b\"; ack_timeout_ms = \"5s\"; workers = 7; fast = "
                      "true; peers = [\"x\", \"y\"]; };"
                      " jobstore : { anything = 1; };",
                      &why, OPTIONS("--data-dir", "/d", "--workers=9", "--log-size", "64KiB")),
                 OK, "%s", why.text);
    cr_assert_str_eq(t.listen, "ipc:///run/n/thing");
    cr_assert_str_eq(t.name, "b");
    cr_assert_str_eq(t.peers, "x,y");
    cr_assert_str_eq(t.data_dir, "/d");
    cr_assert_eq(t.ack_timeout_ms, 5000);
    cr_assert_eq(t.workers, 9);
    cr_assert_eq(t.log_size, 65536);
    cr_assert(t.fast);
}

Test(settings, mistakes_name_the_place_and_the_cure)
{
    static const struct {
        const char *file, *option, *wanted;
    } mistakes[] = {
        {"evalbroker : { ack_timeout = 5; };", NULL,
         ":1: unknown setting \"ack_timeout\"; did you mean \"ack_timeout_ms\"?"},
        {"\n\nevalbroker : { workers = -3; };", NULL,
         ":3: workers is \"-3\"; it takes a whole number from 0 up"},
        {"evalbroker : { workers = 1.5; };", NULL, ":1: workers takes a whole number"},
        {"evalbroker : { listen = \"nowhere\"; };", NULL, "it takes an address such as"},
        {"evalbrokr : { };", NULL, ":1: unknown group \"evalbrokr\"; did you mean \"evalbroker\"?"},
        {"evalbroker = 3;", NULL, ":1: evalbroker takes a group"},
        {"evalbroker : {\n oops\n};", NULL, ":3: syntax error"},
        {NULL, "--wrkers=3", "unknown option \"wrkers\"; did you mean \"workers\"?"},
        {NULL, "--workers=many", "workers is \"many\"; it takes a whole number"},
        {NULL, "--workers=99999999999999999999", "it takes a whole number"},
        {NULL, "--log-size=99999999999TiB", "it takes a size"},
        {NULL, "--fast=maybe", "it takes true or false"},
        {NULL, "--ack-timeout-ms=-5s", "it takes a duration"},
        {NULL, "stray", "\"stray\" is not an option"},
        {NULL, "--workers", "--workers needs a value"},
        {NULL, "--fast", "data_dir must be given: where it keeps its data"},
        {NULL, "--config=/there/is/no/such/file",
         "open the settings /there/is/no/such/file: No such file"},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct thing t;
        struct reason why = {""};
        cr_assert_neq(load(&t, mistakes[i].file, &why, OPTIONS(mistakes[i].option)), OK, "%s",
                      mistakes[i].wanted);
        cr_assert_not_null(strstr(why.text, mistakes[i].wanted), "wanted: %s\ngot: %s",
                           mistakes[i].wanted, why.text);
    }
}

Test(settings, help_shows_every_setting_with_its_default)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    settings_print_help(settings, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "--ack-timeout-ms TIME\n      how long (default 60000)"), "%s",
                       text);
    cr_assert_not_null(
        strstr(text, "--data-dir PATH\n      where it keeps its data (must be given)"), "%s", text);
    free(text);
}
