/* nctl: the command line. Speaks HTTP to a gateway, so it runs anywhere. Every command is a row in
 * a table;
 * --help is made from the rows.
 *
 * Exits     0 done, 1 failed or bad usage, 2 a job was taken but not all of it could be placed */
#include "command.h"
#include "base/err.h"
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_version(const struct args *a)
{
    printf("Norn v%s\n", NORN_VERSION);
    return EXIT_OK;
}

static const struct command commands_main[] = {
    {"version", NULL, "", "print the version", NULL, NULL, 0, 0, run_version},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

/* One a line: several people add here at once. */
/* clang-format off */
static const struct command *const commands[] = {
    commands_job,
    commands_evaluate,
    commands_dispatch,
    commands_history,
    commands_periodic,
    commands_plan,
    commands_alloc,
    commands_exec,
    commands_port_forward,
    commands_orders,
    commands_fs,
    commands_node,
    commands_drain,
    commands_purge,
    commands_pool,
    commands_eval,
    commands_replay,
    commands_deployment,
    commands_scaling,
    commands_namespace,
    commands_server,
    commands_scheduler,
    commands_operator,
    commands_system,
    commands_tls,
    commands_dev,
    commands_main,
    NULL,
};
/* clang-format on */

static void print_flags(const struct flag *flags)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        char left[64];
        snprintf(left, sizeof(left), "-%s%s%s", flags->name, flags->value != NULL ? " " : "",
                 flags->value != NULL ? flags->value : "");
        printf("  %-22s %s\n", left, flags->help);
    }
}

static void print_command_help(const struct command *c)
{
    printf("usage: nctl %s%s%s%s\n\n%c%s.\n", c->name, c->flags != NULL ? " [flags]" : "",
           c->usage[0] != '\0' ? " " : "", c->usage, toupper((unsigned char)c->summary[0]),
           c->summary + 1);
    if (c->aliases != NULL)
        printf("Also called: %s\n", c->aliases);
    if (c->details != NULL)
        printf("\n%s\n", c->details);
    if (c->flags != NULL) {
        printf("\nFlags:\n");
        print_flags(c->flags);
    }
    printf("\nFlags of every command:\n");
    print_flags(global_flags);
    printf("\nFlags take one dash or two and may stand before or after the arguments. An id may be "
           "cut to any prefix that is unambiguous.\nExits 0 done, 1 failed, 2 a job was taken but "
           "not all of it could be placed.\n");
}

static void print_help(FILE *to)
{
    fprintf(to, "usage: nctl <command> [flags] [arguments]\n\n");
    for (const struct command *const *table = commands; *table != NULL; table++)
        for (const struct command *c = *table; c->name != NULL; c++)
            fprintf(to, "  %-16s %s\n", c->name, c->summary);
    fprintf(to,
            "\n\"nctl <command> --help\" tells more. Where the gateway is: -address, NORN_ADDR, "
            "NOMAD_ADDR, else http://127.0.0.1:4646.\n");
}

static bool asks_for(const char *word, const char *what)
{
    word += strspn(word, "-");
    return strcmp(word, what) == 0 || (word[0] == what[0] && word[1] == '\0');
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write, handled as one */
    if (argc == 2 && argv[1][0] == '-' && asks_for(argv[1], "version"))
        return run_version(NULL);
    if (argc == 1 || (argc == 2 && (asks_for(argv[1], "help")))) {
        print_help(argc == 1 ? stderr : stdout);
        return argc == 1 ? EXIT_ERROR : EXIT_OK;
    }
    if (argc > 2 && strcmp(argv[1], "help") == 0)
        argv[1] = (char *)"--help";
    char error[400];
    char **items = xcalloc((unsigned long)argc, sizeof(*items));
    struct args args;
    int code = EXIT_ERROR;
    bool parsed = args_parse(commands, argc - 1, argv + 1, items, &args, error, sizeof(error));
    if (parsed && args_has(&args, "help")) {
        print_command_help(args.command);
        code = EXIT_OK;
    } else if (parsed) {
        code = args.command->run(&args);
        if (fflush(stdout) != 0 && code == EXIT_OK)
            code = EXIT_ERROR;
    } else {
        fprintf(stderr, "%s\n", error);
        if (args.command != NULL)
            fprintf(stderr, "For help try \"nctl %s --help\".\n", args.command->name);
        else
            fprintf(stderr, "For a list of commands try \"nctl --help\".\n");
    }
    free(items);
    return code;
}
