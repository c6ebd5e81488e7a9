#include "dev_config.h"
#include <stdio.h>
#include <string.h>

#define JOBSTORE                                                                                   \
    "    jobstore = \"ipc://$RUN/jobstore.sock\";\n"                                               \
    "    jobstore_poll = \"ipc://$RUN/jobstore-poll.sock\";\n"

const struct dev_program dev_programs[] = {
    {"jobstore", DEV_STAGE_STORE, 5000,
     "    listen = \"ipc://$RUN/jobstore.sock\";\n"
     "    listen_poll = \"ipc://$RUN/jobstore-poll.sock\";\n"
     "    data_dir = \"$DATA/jobstore\";\n",
     "    server_name = \"$NAME\";\n"
     "    region = \"$REGION\";\n"
     "    listen_raft = \"tcp://127.0.0.1:$RAFT\";\n"
     "    gossip = \"ipc://$RUN/gossip.sock\";\n"
     "    peers = [$RAFTPEERS];\n"
     "    bootstrap_expect = $COUNT;\n"},
    {"gossip", DEV_STAGE_SERVERS, 2000,
     "    listen = \"ipc://$RUN/gossip.sock\";\n"
     "    http_port = $PORT;\n",
     "    name = \"$NAME\";\n"
     "    region = \"$REGION\";\n"
     "    rpc_port = $RPC;\n"
     "    gossip_port = $GOSSIP;\n"
     "    listen_gossip = \"tcp://127.0.0.1:$GOSSIP\";\n"
     "    join = [$MEMBERS];\n"
     "    advertise_raft = \"127.0.0.1:$RAFT\";\n"
     "    bootstrap_expect = $COUNT;\n"
     "    jobstore = \"ipc://$RUN/jobstore.sock\";\n"},
    {"evalbroker", DEV_STAGE_SERVERS, 2000,
     "    listen = \"ipc://$RUN/evalbroker.sock\";\n" JOBSTORE, NULL},
    {"planqueue", DEV_STAGE_SERVERS, 2000, "    listen = \"ipc://$RUN/planqueue.sock\";\n" JOBSTORE,
     NULL},
    {"schedworker", DEV_STAGE_SERVERS, 2000,
     "    gateway = \"ipc://$RUN/gateway-poll.sock\";\n"
     "    evalbroker = \"ipc://$RUN/evalbroker.sock\";\n"
     "    planqueue = \"ipc://$RUN/planqueue.sock\";\n" JOBSTORE,
     NULL},
    {"controller", DEV_STAGE_SERVERS, 2000,
     "    listen = \"ipc://$RUN/controller.sock\";\n" JOBSTORE, NULL},
    {"gateway", DEV_STAGE_SERVERS, 2000,
     "    listen = \"ipc://$RUN/gateway.sock\";\n"
     "    listen_poll = \"ipc://$RUN/gateway-poll.sock\";\n"
     "    http = \"127.0.0.1:$PORT\";\n"
     "    controller = \"ipc://$RUN/controller.sock\";\n"
     "    evalbroker = \"ipc://$RUN/evalbroker.sock\";\n"
     "    planqueue = \"ipc://$RUN/planqueue.sock\";\n"
     "    gossip = \"ipc://$RUN/gossip.sock\";\n" JOBSTORE,
     "    name = \"$NAME\";\n"
     "    region = \"$REGION\";\n"
     "    listen_rpc = \"tcp://127.0.0.1:$RPC\";\n"
     "    known_servers = [$SERVERS];\n"},
    {"nodeagent", DEV_STAGE_AGENTS, 5000,
     "    gateway = \"ipc://$RUN/gateway.sock\";\n"
     "    gateway_poll = \"ipc://$RUN/gateway-poll.sock\";\n"
     "    http_addr = \"127.0.0.1:$PORT\";\n"
     "    gc_interval_ms = \"4s\";\n",
     NULL},
};
const size_t dev_program_count = COUNT_OF(dev_programs);

static void put_name(const struct dev_layout *l, int i, struct strbuf *out)
{
    strbuf_printf(out, "s%d", i + 1);
}

void dev_server_describe(const struct dev_layout *l, int i, struct strbuf *out)
{
    put_name(l, i, out);
    strbuf_printf(out, ".%s=tcp://127.0.0.1:%d", l->region, l->servers[i].port + 1);
}

static void put_servers(const struct dev_layout *l, struct strbuf *out)
{
    for (int i = 0; i < l->count; i++) {
        strbuf_printf(out, "%s\"", i > 0 ? ", " : "");
        dev_server_describe(l, i, out);
        strbuf_puts(out, "\"");
    }
    if (l->join[0] != '\0')
        strbuf_printf(out, ", \"%s\"", l->join);
}

static void put_raft_peers(const struct dev_layout *l, struct strbuf *out)
{
    for (int i = 0; i < l->count; i++)
        strbuf_printf(out, "%s\"s%d=tcp://127.0.0.1:%d\"", i > 0 ? ", " : "", i + 1,
                      l->servers[i].port + 3);
}

static void put_members(const struct dev_layout *l, struct strbuf *out)
{
    for (int i = 0; i < l->count; i++)
        strbuf_printf(out, "%s\"127.0.0.1:%d\"", i > 0 ? ", " : "", l->servers[i].port + 2);
}

/* What stands for the word at text, which begins with a $; how long the word is. */
static size_t put_word(const struct dev_layout *l, int i, const char *text, struct strbuf *out)
{
    static const char *const words[] = {"$RUN",    "$DATA",  "$PORT",    "$NAME",
                                        "$REGION", "$RPC",   "$GOSSIP",  "$RAFTPEERS",
                                        "$RAFT",   "$COUNT", "$SERVERS", "$MEMBERS"};
    const struct dev_server *s = &l->servers[i];
    size_t w = 0;
    while (w < COUNT_OF(words) && strncmp(text, words[w], strlen(words[w])) != 0)
        w++;
    must(w < COUNT_OF(words));
    switch (w) {
    case 0:
        strbuf_puts(out, s->run_dir);
        break;
    case 1:
        strbuf_puts(out, s->data_dir);
        break;
    case 3:
        put_name(l, i, out);
        break;
    case 4:
        strbuf_puts(out, l->region);
        break;
    case 7:
        put_raft_peers(l, out);
        break;
    case 9:
        strbuf_printf(out, "%d", l->count);
        break;
    case 10:
        put_servers(l, out);
        break;
    case 11:
        put_members(l, out);
        break;
    default: /* ports, in the order of their offsets */
        strbuf_printf(out, "%d", s->port + (w == 2 ? 0 : w == 5 ? 1 : w == 6 ? 2 : 3));
    }
    return strlen(words[w]);
}

static void fill(const struct dev_layout *l, int i, const char *text, struct strbuf *out)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, "$");
        strbuf_add(out, text, plain);
        text += plain;
        if (*text == '$')
            text += put_word(l, i, text, out);
    }
}

static enum err write_file(const char *path, struct strbuf *text, struct reason *why)
{
    enum err e = OK;
    FILE *f = fopen(path, "we");
    if (f == NULL || fputs(strbuf_text(text), f) < 0)
        e = reason_errno(why, ERR_IO, "cannot write %s", path);
    if (f != NULL && fclose(f) != 0 && e == OK)
        e = reason_errno(why, ERR_IO, "cannot write %s", path);
    strbuf_free(text);
    return e;
}

static const char head[] = "# Written by `nctl dev` at each start. deploy/example.conf explains "
                           "every setting.\n";

enum err dev_config_write(const struct dev_layout *l, int i, struct reason *why)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_puts(&text, head);
    for (size_t p = 0; p < dev_program_count; p++) {
        strbuf_printf(&text, "%s: {\n", dev_programs[p].name);
        fill(l, i, dev_programs[p].settings, &text);
        bool store = dev_programs[p].stop_stage == DEV_STAGE_STORE; /* alone it has no peers */
        if (dev_programs[p].of_many != NULL && (store ? l->count > 1 : l->many))
            fill(l, i, dev_programs[p].of_many, &text);
        strbuf_puts(&text, "};\n");
    }
    return write_file(l->servers[i].config, &text, why);
}

enum err dev_config_write_agents(const struct dev_layout *l, const char *path, struct reason *why)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_printf(&text, "%snodeagent: {\n    servers = [", head);
    for (int i = 0; i < l->count; i++)
        strbuf_printf(&text, "%s\"tcp://127.0.0.1:%d\"", i > 0 ? ", " : "", l->servers[i].port + 1);
    strbuf_printf(&text, "];\n    region = \"%s\";\n    http_addr = \"127.0.0.1:%d\";\n};\n",
                  l->region, l->servers[0].port);
    return write_file(path, &text, why);
}
