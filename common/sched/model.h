/* The devices that nodes of one kind have: by vendor, type and name, with their attributes, and how
 * many there are of each. Which instances, and which of them are free, is the node's own matter
 * (sched/stock.h). For the files of this library. */
#ifndef SCHED_MODEL_H
#define SCHED_MODEL_H

#include "base/strbuf.h"
#include "sched/condition.h"

struct model {
    const char *vendor, *type, *name; /* in texts */
    uint32_t instances;
    struct texts texts; /* "device.vendor", "device.attr.memory" ... */
};

#define MODEL_KEY "!model" /* in a kind's texts, once for each model */

/* One device as a value of MODEL_KEY. */
void model_encode(struct strbuf *out, const Pb__NodeDevice *d);
/* Those of a kind, in the order of the node's devices; free them with models_free. */
struct model *models_new(const struct texts *kind, uint32_t *count);
void models_free(struct model *models, uint32_t count);

/* "gpu", "nvidia/gpu" or "nvidia/gpu/1080ti": whether m is one. */
bool model_is(const struct model *m, const char *name);
/* Numbers with units are compared by what they mean: "1 GiB" is "1024 MiB", and more than "1 GB".
 */
bool model_condition_holds(const struct condition *c, const struct model *m);

#endif
