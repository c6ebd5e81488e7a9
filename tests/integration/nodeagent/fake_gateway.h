/* The servers as a node agent sees them, inside the test's own process, and agents started beside
 * it. It holds the allocations that the agent is to run and what the agent said about them. */
#ifndef TESTS_NODEAGENT_FAKE_GATEWAY_H
#define TESTS_NODEAGENT_FAKE_GATEWAY_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "gateway.pb-c.h"
#include "loop/loop.h"
#include "net/net.h"
#include <stdbool.h>
#include <sys/types.h>

#define MAX_ALLOCS 256

struct fake_alloc {
    Pb__Alloc *alloc;
    Pb__Job *job;
    Pb__AllocUpdate *said; /* the last word; NULL: none */
    int updates;
    uint64_t index;
};

struct fake {
    char dir[64]; /* of everything; removed at the end */
    struct loop *loop;
    struct arena *arena;
    struct server *server, *poll_server;
    Pb__Node *node; /* as registered; NULL: not yet */
    int registrations, heartbeats;
    bool forget;         /* answer NOT_FOUND until it registers again */
    bool refuse_updates; /* answer UNAVAILABLE */
    bool mute;           /* likewise, to heartbeats and registrations */
    uint64_t index;
    struct fake_alloc allocs[MAX_ALLOCS];
    int alloc_count;
    ProtobufCBinaryData deployment; /* what is placed is part of it; empty: of none */
    Pb__TaskGrant *grant;           /* what is placed has it; NULL: nothing */
    Pb__Port *port;                 /* likewise */
    ProtobufCBinaryData previous;   /* what is placed follows that allocation; empty: none */
    struct request *parked;         /* a poll */
    uint64_t parked_since;
    uint64_t registered_at,
        listed_from;         /* indexes: of the registration, and the least for the list */
    Pb__AgentRequest *asked; /* goes out with the next news */
    /* what the reader got */
    struct strbuf data;
    Pb__FileInfo *files[1024];
    size_t file_count;
    Pb__TaskUsage *usages[MAX_ALLOCS];
    size_t usage_count;
    uint32_t pieces, error_status;
    char error[512], last_file[256];
    int64_t last_offset;
    bool read_done, reader_gone;
    uint32_t http_status; /* of the answer to what the agent asks by HTTP; with its body */
    struct strbuf http;
    size_t
        http_held; /* of the body: comes when more is asked for, which is not answered; 0: none */
    char asked_path[256];
    int asks;
    pid_t agent;
    const char *extra[8]; /* further options of the agent */
};

struct fake *fake_new(void);
/* Kills agent and tasks, fails the test if a process of ours is left, removes everything. */
void fake_free(struct fake *f);
void fake_open(struct fake *f);
void fake_close(struct fake *f);
void fake_start_agent(struct fake *f);
void fake_kill_agent(struct fake *f, int signal); /* waits until it is gone */
/* Runs the loop until done(f) or ms are over; which of the two. */
bool fake_until(struct fake *f, bool (*done)(struct fake *f), int ms);
void fake_run(struct fake *f, int ms);

/* A job of one group "g" with one task "t" of the driver; more tasks may be added before it is
 * handed out. */
Pb__Job *fake_job(struct fake *f, const char *type, const char *driver, const char *config_json);
Pb__Task *fake_add_task(struct fake *f, Pb__Job *job, const char *name, const char *driver,
                        const char *config_json);
/* Gives an allocation of it to the agent; returns its place in allocs. */
int fake_place(struct fake *f, Pb__Job *job);
void fake_stop(struct fake *f, int i);
void fake_tell(struct fake *f, int i);   /* its alloc was changed */
void fake_remove(struct fake *f, int i); /* and lets the agent list anew */

bool fake_is(const struct fake *f, int i, Pb__Alloc__ClientStatus status);
bool fake_await(struct fake *f, int i, Pb__Alloc__ClientStatus status, int ms);
const Pb__TaskState *fake_task(const struct fake *f, int i, const char *name);
/* "Received,Task Setup,Started" */
/* Of the node, for whose registration it waits; NULL: it has none such. */
const char *fake_attribute(struct fake *f, const char *key);
const char *fake_events(struct fake *f, int i, const char *name);
/* A path in the allocation's directory. */
const char *fake_path(struct fake *f, int i, const char *below);
/* The content of a file there; "" if there is none. */
const char *fake_content(struct fake *f, int i, const char *below);

/* Asks and gathers what comes; true: all of it came. With follow until `enough` bytes are there. */
bool fake_read(struct fake *f, Pb__AgentRequest request, size_t enough, int ms);
/* A number no other process names: for `sleep`, so that what is left can be counted while other
 * tests run. */
const char *fake_mark(void);
/* Processes whose command line holds what. */
int fake_count_processes(const char *what);
long fake_rss_kb(int pid); /* 0: it is gone */

#endif
