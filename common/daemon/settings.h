/* One table is the file's keys, the --options, the --help and the check of deploy/example.conf. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum setting_kind {
    SET_TEXT,  /* const char * */
    SET_ADDR,  /* const char *, "ipc:///..." or "tcp://host:port" */
    SET_PATH,  /* const char * */
    SET_MSEC,  /* uint64_t; "250ms", "10s", or a bare number of ms */
    SET_COUNT, /* uint64_t */
    SET_SIZE,  /* uint64_t bytes; "10MiB", "1GiB" */
    SET_BOOL,  /* bool */
    SET_LIST,  /* const char *, comma separated; a list of strings in the file */
};

struct setting {
    const char
        *name; /* "ack_timeout_ms"; the option is --ack-timeout-ms, the key ack_timeout_ms in the
                  group named after the service, e.g. evalbroker { ack_timeout_ms = 60000; } */
    enum setting_kind kind;
    size_t offset;        /* of the field in the service's struct */
    const char *fallback; /* NULL: must be given */
    const char *help;     /* one line, with unit and meaning */
};

#define SETTING(service, field, KIND, fallback, help)                                              \
    {                                                                                              \
#field, SET_##KIND, offsetof(struct service, field), fallback, help                        \
    }
#define SETTING_END                                                                                \
    {                                                                                              \
        NULL, SET_TEXT, 0, NULL, NULL                                                              \
    }

/* Settings whose names begin with "tls_" may also stand in the group tls, without that, for all
 * daemons that read the file; a daemon's own group goes before it.
 *
 * Reads --config F (libconfig), then the options. On failure *why names file, line and key, and the
 * nearest known key for an unknown one. Texts live as long as the process. Also for tools and
 * tests. */
enum err settings_load(const struct setting *table, const char *service, void *target, int argc,
                       char **argv, struct reason *why);

/* The options as --help shows them. */
void settings_print_help(const struct setting *table, FILE *out);
/* The setting called name, where separator in name stands for '_'; NULL: none. */
const struct setting *settings_find(const struct setting *table, const char *name, char separator);

#endif
