/* What nctl can do: one table of commands (main.c), one file per noun behind it, and the parsing of
 * their arguments. --help is made from the same table. */
#ifndef NCTL_COMMAND_H
#define NCTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Exit codes, the same for every command; shown in --help. */
enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_PLACEMENT = 2 };

enum flag_kind { FLAG_BOOL, FLAG_TEXT, FLAG_NUMBER };

/* Given with one dash or two, before or after the other arguments, "-name value" or "-name=value".
 */
struct flag {
    const char *name;
    enum flag_kind kind;
    const char *value; /* what --help calls the value; NULL for FLAG_BOOL */
    const char *help;
};
#define FLAG_END                                                                                   \
    {                                                                                              \
        NULL, FLAG_BOOL, NULL, NULL                                                                \
    }

struct args;

/* As max_args: no limit, and from the second on they are a command of somebody else, whose flags
 * are not ours. */
#define ARGS_COMMAND (-2)

struct command {
    const char *name;    /* one to three words: "alloc status" */
    const char *aliases; /* further names, separated by ", "; NULL: none */
    const char *usage;   /* the arguments, "<alloc> [task]" */
    const char *summary; /* one line for the list of commands */
    const char *details; /* for --help of this command; NULL: none */
    const struct flag *flags;
    int min_args, max_args; /* max -1: no limit */
    int (*run)(const struct args *args);
};

/* Of each cmd_<noun>.c. Ends with one whose name is NULL. */
extern const struct command commands_evaluate[], commands_system[], commands_replay[];
extern const struct command commands_exec[], commands_port_forward[], commands_job[],
    commands_history[], commands_plan[], commands_scheduler[], commands_alloc[], commands_fs[],
    commands_node[], commands_drain[], commands_eval[], commands_deployment[], commands_scaling[],
    commands_namespace[], commands_purge[], commands_pool[], commands_server[], commands_operator[],
    commands_tls[], commands_dev[], commands_dispatch[], commands_periodic[], commands_orders[];

#define MAX_FLAGS 48

struct flag_value {
    const struct flag *flag;
    const char *text; /* "true" or "false" for FLAG_BOOL */
};

/* The arguments of one run of one command. Texts point into argv. */
struct args {
    const struct command *command;
    char **items; /* what is not a flag, without the command's words */
    int count;
    struct flag_value values[MAX_FLAGS];
    int value_count;
};

bool args_has(const struct args *a,
              const char *name); /* a FLAG_BOOL that is on, or any other given */
const char *args_text(const struct args *a, const char *name, const char *fallback);
long args_number(const struct args *a, const char *name, long fallback);

/* Those every command takes: -address and so on. */
extern const struct flag global_flags[];

/* Splits argv into command, flags and the rest. On failure error holds what is wrong and what would
 * be right, and out->command the command if it was recognised (for its --help). table: all
 * commands, a NULL-terminated list of lists. items takes argc pointers and lives as long as out. */
bool args_parse(const struct command *const *table, int argc, char **argv, char **items,
                struct args *out, char *error, size_t error_size);

#endif
