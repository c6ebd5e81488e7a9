/* An allocation that is to be replaced by another. */
#include "answer.h"
#include "base/id.h"
#include "nouns.h"
#include "wire/json.h"
#include "wire/wire.h"
#include "write.h"

static void on_outcome(void *owner, const struct response *r)
{
    struct call_context *c = owner;
    const Pb__Outcome *o = write_applied(c, r, 404);
    if (o != NULL)
        write_answer(
            c, o->index,
            json_pack("{so,sI}", "EvalID", json_id_of(o->eval_id), "Index", (json_int_t)o->index));
}

void allocation_stop(struct call_context *c)
{
    uint8_t id[ID_SIZE];
    Pb__AllocStop stop = PB__ALLOC_STOP__INIT;
    Pb__Command command = PB__COMMAND__INIT;
    const char *problem = id_problem(c->id);
    if (problem != NULL) {
        answer_text(c->x, 500, "alloc lookup failed: %s", problem);
        return;
    }
    must(id_parse(c->id, id));
    stop.has_alloc_id = 1;
    stop.alloc_id = wire_id(exchange_arena(c->x), id);
    command.body_case = PB__COMMAND__BODY_ALLOC_STOP;
    command.alloc_stop = &stop;
    write_command(c, &command, on_outcome);
}
