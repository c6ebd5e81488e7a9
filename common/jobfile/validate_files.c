/* What is put into a task's directories before it starts: artifacts, templates, a payload. */
#include "problems.h"
#include <ctype.h>
#include <string.h>

/* Takes one step per part: never above where it began. */
static bool escapes(const char *path)
{
    int depth = 1; /* the task's directory lies in the allocation's */
    for (const char *p = path; *p != '\0';) {
        size_t len = strcspn(p, "/");
        if (len == 2 && strncmp(p, "..", 2) == 0)
            depth--;
        else if (len > 0 && !(len == 1 && *p == '.'))
            depth++;
        if (depth < 0)
            return true;
        p += len;
        p += *p == '/';
    }
    return false;
}

static void validate_template(struct texts *errors, const Pb__Template *t)
{
    bool inlined = t->embedded_tmpl != NULL && t->embedded_tmpl[0] != '\0';
    bool from_file = t->source_path != NULL && t->source_path[0] != '\0';
    if (!inlined && !from_file)
        texts_add(errors, "Must specify a source path or have an embedded template");
    else if (from_file && inlined)
        texts_add(errors, "A template has either a source or data, not both");
    if (t->dest_path == NULL || t->dest_path[0] == '\0')
        texts_add(errors, "Must specify a destination for the template");
    else if (escapes(t->dest_path))
        texts_add(errors, "destination escapes allocation directory");
}

static void validate_templates(struct texts *errors, const Pb__Task *task)
{
    for (size_t i = 0; i < task->n_templates; i++) {
        struct texts inner = {.arena = errors->arena};
        validate_template(&inner, task->templates[i]);
        texts_nest(errors, &inner, "Template %zu validation failed: ", i + 1);
    }
}

static void validate_payload_file(struct texts *errors, const Pb__DispatchPayload *p)
{
    if (p == NULL)
        return;
    if (p->file == NULL || p->file[0] == '\0')
        texts_add(errors,
                  "Dispatch Payload validation failed: Task dispatch payload must specify a "
                  "file");
    else if (escapes(p->file))
        texts_add(errors, "Dispatch Payload validation failed: destination escapes allocation "
                          "directory");
}

/* "sha256:0ab1...": what can be seen of it before its variables are known. */
static void validate_checksum(struct texts *errors, const char *checksum)
{
    const char *hex = strchr(checksum, ':');
    if (strstr(checksum, "${") != NULL)
        return;
    if (hex == NULL) {
        texts_add(errors, "checksum must be given as type:value; got \"%.60s\"", checksum);
        return;
    }
    for (hex++; isxdigit((unsigned char)*hex); hex++)
        ;
    if (*hex != '\0')
        texts_add(errors, "invalid checksum: encoding/hex: invalid byte: U+%04X '%c'",
                  (unsigned char)*hex, *hex);
}

static void validate_artifact(struct texts *errors, const Pb__Artifact *t)
{
    const char *mode = t->getter_mode;
    if (t->getter_source == NULL || t->getter_source[0] == '\0')
        texts_add(errors, "source must be specified");
    if (t->relative_dest != NULL && escapes(t->relative_dest))
        texts_add(errors, "destination escapes allocation directory");
    if (mode != NULL && mode[0] != '\0' && strcmp(mode, "any") != 0 && strcmp(mode, "file") != 0 &&
        strcmp(mode, "dir") != 0)
        texts_add(errors, "invalid artifact mode \"%.40s\"; must be one of: any, file, dir", mode);
    for (size_t i = 0; i < t->n_getter_options; i++)
        if (strcmp(t->getter_options[i]->key, "checksum") == 0 &&
            t->getter_options[i]->value != NULL)
            validate_checksum(errors, t->getter_options[i]->value);
}

static void validate_artifacts(struct texts *errors, const Pb__Task *task)
{
    for (size_t i = 0; i < task->n_artifacts; i++) {
        struct texts inner = {.arena = errors->arena};
        validate_artifact(&inner, task->artifacts[i]);
        texts_nest(errors, &inner, "Artifact %zu validation failed: ", i + 1);
    }
}

void validate_files(struct texts *errors, const Pb__Task *task)
{
    validate_artifacts(errors, task);
    validate_templates(errors, task);
    validate_payload_file(errors, task->dispatch_payload);
}
