/* The configuration files that `nctl dev` writes: one per server, and one for the node agents of a
 * suite of several servers. */
#ifndef NCTL_DEV_CONFIG_H
#define NCTL_DEV_CONFIG_H

#include "base/err.h"
#include "base/strbuf.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEV_MAX_SERVERS = 5, DEV_PORTS_APART = 10 };

/* Who is stopped when: nobody loses the one it reports to. */
enum dev_stage { DEV_STAGE_AGENTS, DEV_STAGE_SERVERS, DEV_STAGE_STORE };

struct dev_program {
    const char *name;
    int stop_stage;
    uint64_t stop_ms;
    const char *settings; /* $RUN, $DATA, $PORT ... are filled in */
    const char *of_many;  /* further ones where there are other servers; NULL: none */
};
extern const struct dev_program dev_programs[];
extern const size_t dev_program_count;

struct dev_server {
    char data_dir[PATH_MAX];
    char run_dir[PATH_MAX];
    char config[PATH_MAX + 32];
    bool own_run_dir; /* outside the data directory, whose path is too long for sockets */
    int port;         /* of HTTP; RPC, gossip and raft are the next three */
};

struct dev_layout {
    struct dev_server servers[DEV_MAX_SERVERS];
    int count;
    bool many; /* there are others: more than one here, or another region */
    const char *region;
    const char *join; /* "NAME.REGION=tcp://...", comma separated; "": none */
};

/* The whole file of server i. */
enum err dev_config_write(const struct dev_layout *l, int i, struct reason *why);
/* That of the agents of many servers. */
enum err dev_config_write_agents(const struct dev_layout *l, const char *path, struct reason *why);
/* "s1.global=tcp://127.0.0.1:4647": what others are to join. */
void dev_server_describe(const struct dev_layout *l, int i, struct strbuf *out);

#endif
