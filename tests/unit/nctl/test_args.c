#include "base/err.h"
#include "command.h"
#include <criterion/criterion.h>
#include <string.h>

static const struct flag logs_flags[] = {
    {"f", FLAG_BOOL, NULL, "follow"},
    {"n", FLAG_NUMBER, "LINES", "lines"},
    {"task", FLAG_TEXT, "TASK", "task"},
    FLAG_END,
};
static const struct command some[] = {
    {"alloc logs", "logs", "<alloc> [task]", "", NULL, logs_flags, 1, 2, NULL},
    {"alloc status", NULL, "[alloc]", "", NULL, NULL, 0, 1, NULL},
    {"exec", NULL, "<alloc> <command>", "", NULL, logs_flags, 2, ARGS_COMMAND, NULL},
    {"status", "job status", "[job]", "", NULL, NULL, 0, 1, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
static const struct command *const table[] = {some, NULL};

enum { MOST = 16 };

struct parsed {
    char line[400], error[400];
    char *argv[MOST], *items[MOST];
    struct args args;
    bool ok;
};

/* words: separated by single blanks. */
static void parse(struct parsed *p, const char *words)
{
    int argc = 0;
    memset(p, 0, sizeof(*p));
    strcpy(p->line, words);
    for (char *w = strtok(p->line, " "); w != NULL; w = strtok(NULL, " "))
        p->argv[argc++] = w;
    p->ok = args_parse(table, argc, p->argv, p->items, &p->args, p->error, sizeof(p->error));
}

Test(args, flags_stand_before_between_and_after)
{
    static const char *const lines[] = {
        "alloc logs -f -n 5 -task t abc",   "alloc logs abc -f -n 5 -task t",
        "-f alloc logs abc --n=5 --task=t", "alloc -f logs -n=5 abc -task t",
        "logs --f abc --n 5 --task t",      "-n 5 logs -task t abc -f=true",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct parsed p;
        parse(&p, lines[i]);
        cr_assert(p.ok, "%s: %s", lines[i], p.error);
        cr_expect_str_eq(p.args.command->name, "alloc logs", "%s", lines[i]);
        cr_expect_eq(p.args.count, 1, "%s", lines[i]);
        cr_expect_str_eq(p.args.items[0], "abc");
        cr_expect(args_has(&p.args, "f"));
        cr_expect_eq(args_number(&p.args, "n", 0), 5);
        cr_expect_str_eq(args_text(&p.args, "task", ""), "t");
        cr_expect_not(args_has(&p.args, "no-color"));
    }
}

Test(args, commands_are_found_by_their_words_and_aliases)
{
    static const struct {
        const char *line, *command;
        int items;
    } rows[] = {
        {"status", "status", 0},
        {"job status", "status", 0},
        {"job status x", "status", 1},
        {"status alloc", "status", 1},
        {"alloc status", "alloc status", 0},
        {"alloc status x", "alloc status", 1},
        {"-address http://h status x", "status", 1},
        {"status -- -x", "status", 1},
        {"status -", "status", 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct parsed p;
        parse(&p, rows[i].line);
        cr_assert(p.ok, "%s: %s", rows[i].line, p.error);
        cr_expect_str_eq(p.args.command->name, rows[i].command, "%s", rows[i].line);
        cr_expect_eq(p.args.count, rows[i].items, "%s", rows[i].line);
    }
}

Test(args, mistakes_are_named_with_what_would_be_right)
{
    static const struct {
        const char *line, *error;
    } rows[] = {
        {"", "no command given"},
        {"-f", "no command given"},
        {"statsu", "unknown command \"statsu\": did you mean \"nctl status\"?"},
        {"alloc staus", "unknown command \"alloc staus\": did you mean \"nctl alloc status\"?"},
        {"alloc", "\"alloc\" wants a further word: alloc logs, alloc status"},
        {"job", "\"job\" wants a further word: job status"},
        {"banana", "unknown command \"banana\""},
        {"logs a -tsak t", "unknown flag -tsak: did you mean -task?"},
        {"logs a -n", "-n needs a value: LINES"},
        {"logs a -n five", "-n five: must be a whole number"},
        {"logs a -f=maybe", "-f=maybe: must be true or false"},
        {"logs", "too few arguments. Usage: nctl alloc logs <alloc> [task]"},
        {"logs a b c", "too many arguments. Usage: nctl alloc logs <alloc> [task]"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct parsed p;
        parse(&p, rows[i].line);
        cr_expect_not(p.ok, "%s", rows[i].line);
        cr_expect_str_eq(p.error, rows[i].error, "%s: %s", rows[i].line, p.error);
    }
}

Test(args, help_is_given_whatever_the_arguments)
{
    struct parsed p;
    parse(&p, "logs -h");
    cr_expect(p.ok);
    cr_expect(args_has(&p.args, "help"));
}

Test(args, a_command_of_somebody_else_keeps_its_flags)
{
    static const char *const lines[] = {"exec -task t abc sh -f -n 5",
                                        "exec --task=t abc -- sh -f -n 5",
                                        "-task t exec -- abc sh -f -n 5"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct parsed p;
        parse(&p, lines[i]);
        cr_assert(p.ok, "%s: %s", lines[i], p.error);
        cr_expect_eq(p.args.count, 5, "%s", lines[i]);
        cr_expect_str_eq(p.args.items[1], "sh");
        cr_expect_str_eq(p.args.items[4], "5");
        cr_expect_str_eq(args_text(&p.args, "task", ""), "t");
        cr_expect_not(args_has(&p.args, "f"));
    }
}
