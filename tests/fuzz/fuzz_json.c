/* A body of PUT /v1/jobs: text -> tree -> job -> filled in -> validated -> tree -> text. */
#include "jobfile/jobfile.h"
#include "types.pb-c.h"
#include "wire/json.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reason why = {{0}};
    ProtobufCMessage *m = NULL;
    json_t *tree = json_text_parse((const char *)data, size, &why);
    if (tree == NULL) {
        must(why.text[0] != '\0');
        return 0;
    }
    struct arena *a = arena_new(64u << 20);
    const json_t *job = json_object_get(tree, "Job");
    enum err e = wire_from_json(a, &pb__job__descriptor, job == NULL ? tree : job, "Job", 4u << 20,
                                &m, &why);
    must((e == OK) == (m != NULL));
    if (e == OK) {
        struct job_problems problems;
        struct strbuf text = STRBUF_INIT;
        job_canonicalize(a, (Pb__Job *)m);
        job_validate(a, (const Pb__Job *)m, &problems);
        json_t *out = wire_to_json(m);
        json_text_write(&text, out, size % 2 == 0);
        json_t *again = json_text_parse(text.data, text.len, &why);
        must(again != NULL); /* what we print is JSON */
        json_decref(again);
        json_decref(out);
        strbuf_free(&text);
    }
    json_decref(tree);
    arena_free(a);
    return 0;
}
