/* The templates of job files, as far as they ask only for what the node knows: the language of Go's
 * text/template, with the functions of consul-template that need no Consul, Vault or Nomad.
 * docs/jobfile.md lists them; template/functions.c has the table. Pure. */
#ifndef NODEAGENT_TEMPLATE_H
#define NODEAGENT_TEMPLATE_H

#include "base/err.h"
#include "base/strbuf.h"
#include "taskenv.h"

#define TEMPLATE_MAX_OUTPUT (4u << 20)

/* How `file` reads. ERR_...: the reason names the path. */
struct template_files {
    enum err (*read)(void *owner, const char *path, struct strbuf *out, struct reason *why);
    void *owner;
};

/* What a template may ask for. */
struct template_input {
    const struct taskenv *env;
    const struct template_files *files; /* NULL: there are none */
    bool strict;                        /* what is missing is a mistake */
};

/* Adds to *out. ERR_INVALID: the reason names the line; also when it wants more memory than some
 * 30 MiB, or more work than a second's. */
enum err template_render(const struct taskenv *env, const struct template_files *files,
                         const Pb__Template *t, struct strbuf *out, struct reason *why);

/* "KEY=value" lines of a rendered template with `env`: sets each in env. */
enum err template_set_variables(struct taskenv *env, struct arena *a, const char *text,
                                struct reason *why);

#endif
