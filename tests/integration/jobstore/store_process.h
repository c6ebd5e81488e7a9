/* A jobstore process of the test's own, with its directory, and short ways to talk to it. */
#ifndef TESTS_STORE_PROCESS_H
#define TESTS_STORE_PROCESS_H

#include "jobstore.pb-c.h"
#include "net/net.h"
#include <sys/types.h>

struct store_process {
    char dir[64], data[128], addr[128], poll_addr[128];
    const char *extra[24]; /* more options; ends with NULL */
    pid_t pid;
    struct arena *arena;
};

struct store_process *store_process_new(void);
void store_process_free(struct store_process *p);
/* fault: for NORN_FAULT, or NULL. Waits until it answers, or until it has ended (false). */
bool store_process_start(struct store_process *p, const char *fault);
/* Without waiting for answers. */
void store_process_spawn(struct store_process *p, const char *fault);
void store_process_kill(struct store_process *p, int signal); /* and waits for its end */
/* False: it still runs after within_ms. */
bool store_process_ended(struct store_process *p, unsigned within_ms, int *status);
int store_process_wait(struct store_process *p); /* wait status */

/* One request; the answer lives in p->arena. */
struct response store_ask(struct store_process *p, uint32_t method, const ProtobufCMessage *body,
                          const ProtobufCMessageDescriptor *reply, uint32_t budget_ms,
                          const uint8_t *id);
Pb__Command *command_register(struct arena *a, const char *job_id, uint32_t count);
struct response store_register(struct store_process *p, const char *job_id, uint32_t count,
                               const uint8_t *request_id);
bool store_has_job(struct store_process *p, const char *job_id, uint64_t *version);

/* Registers jobs "j-0", "j-1" ... `width` at a time until told to stop; knows which were
 * acknowledged. */
struct load;
struct load *load_new(struct store_process *p, unsigned width);
/* Runs for so long, or until every call fails. */
void load_run(struct load *l, uint64_t ms);
/* Aborts the test if an acknowledged job is not there; returns how many were. */
size_t load_check(struct load *l);
void load_free(struct load *l);

#endif
