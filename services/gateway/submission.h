/* A job as a client sends it: its body, what stands beside it, and whether it may be registered. */
#ifndef GATEWAY_SUBMISSION_H
#define GATEWAY_SUBMISSION_H

#include "jobfile/jobfile.h"
#include "question.pb-c.h"
#include "routes.h"

/* A job as it came, with what stands beside it. */
struct submission {
    Pb__Job *job;
    bool enforce_index, preserve_counts;
    bool diff, where; /* of a plan: the changes, and the nodes, are wanted too */
    Pb__WhatIf **what_if;
    size_t what_if_count;
    uint64_t job_modify_index;
    uint32_t eval_priority;
};

/* The body into *out; false: answered. type as errors name it: "JobRegisterRequest". */
bool submission_read(struct call_context *c, const char *type, struct submission *out);
/* Fills in what the job does not say. */
void submission_canonicalize(const struct gateway *g, struct arena *a, Pb__Job *job);
/* Fills in and looks whether it may be registered here; false: answered, or sent to its region. */
bool submission_check(struct call_context *c, Pb__Job *job, const char **warnings);

/* As Go's multierror prints them; nothing where there are none. */
void submission_errors(struct strbuf *out, const struct job_problems *p);
void submission_warnings(struct strbuf *out, const struct job_problems *p);

#endif
