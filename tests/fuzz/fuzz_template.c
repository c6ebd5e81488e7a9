/* Templates of job files: whatever they say, rendering ends, with a text of bounded size. */
#include "nodeagent/template.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct taskenv *environment(struct arena *a)
{
    static uint8_t id[16];
    Pb__Alloc alloc = PB__ALLOC__INIT;
    Pb__Job job = PB__JOB__INIT;
    Pb__TaskGroup group = PB__TASK_GROUP__INIT;
    Pb__Task task = PB__TASK__INIT;
    Pb__Node node = PB__NODE__INIT;
    alloc.id = (ProtobufCBinaryData){16, id};
    job.id = (char[]){"job"};
    group.name = (char[]){"group"};
    task.name = (char[]){"task"};
    node.name = (char[]){"node"};
    const struct taskenv_input in = {.alloc = &alloc,
                                     .job = &job,
                                     .group = &group,
                                     .task = &task,
                                     .node = &node,
                                     .region = "global",
                                     .ip = "::1",
                                     .alloc_dir = "/a",
                                     .task_dir = "/t",
                                     .secrets_dir = "/s"};
    return taskenv_new(a, &in);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct arena *a = arena_new(8u << 20);
    struct strbuf out = STRBUF_INIT;
    struct reason why;
    Pb__Template t = PB__TEMPLATE__INIT;
    char *text = arena_alloc(a, size + 1);
    memcpy(text, data, size);
    t.embedded_tmpl = text;
    t.err_missing_key = size % 2 == 1;
    if (template_render(environment(a), NULL, &t, &out, &why) == OK)
        must(out.len <= 2 * (size_t)TEMPLATE_MAX_OUTPUT + size);
    strbuf_free(&out);
    arena_free(a);
    return 0;
}
