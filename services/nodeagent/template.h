/* The templates of job files, as far as they ask only for what the node knows when a task starts:
 * `{{ env "NAME" }}` for variables of the task and for node.*, attr.* and meta.*, some functions of
 * texts (the table in template.c), pipes, `if` with `else` and `end`, comments, and `{{-`, `-}}`
 * that take blanks away. Pure. */
#ifndef NODEAGENT_TEMPLATE_H
#define NODEAGENT_TEMPLATE_H

#include "base/err.h"
#include "base/strbuf.h"
#include "taskenv.h"

#define TEMPLATE_MAX_OUTPUT (4u << 20)

/* Adds to *out. ERR_INVALID: the reason names the line; also when it wants more memory than some
 * 30 MiB. */
enum err template_render(const struct taskenv *env, const Pb__Template *t, struct strbuf *out,
                         struct reason *why);

/* "KEY=value" lines of a rendered template with `env`: sets each in env. */
enum err template_set_variables(struct taskenv *env, struct arena *a, const char *text,
                                struct reason *why);

#endif
