/* The value of an object of jobstore, or NULL if it is of another kind: the kinds share their
 * place. */
#ifndef GATEWAY_OBJECTS_H
#define GATEWAY_OBJECTS_H

#include "jobstore.pb-c.h"
#include <stddef.h>

#define OBJECT_VALUE(name, KIND, Type, member)                                                     \
    static inline const Type *object_##name(const Pb__Object *o)                                   \
    {                                                                                              \
        return o != NULL && o->value_case == PB__OBJECT__VALUE_##KIND ? o->member : NULL;          \
    }

OBJECT_VALUE(job, JOB, Pb__Job, job)
OBJECT_VALUE(summary, SUMMARY, Pb__JobSummary, summary)
OBJECT_VALUE(eval, EVAL, Pb__Eval, eval)
OBJECT_VALUE(alloc, ALLOC, Pb__Alloc, alloc)
OBJECT_VALUE(alloc_tasks, ALLOC_TASKS, Pb__AllocTasks, alloc_tasks)
OBJECT_VALUE(node, NODE, Pb__Node, node)
OBJECT_VALUE(deployment, DEPLOYMENT, Pb__Deployment, deployment)
OBJECT_VALUE(scaling_events, SCALING_EVENTS, Pb__ScalingEvents, scaling_events)

OBJECT_VALUE(namespace, NAMESPACE, Pb__Namespace, namespace_)
OBJECT_VALUE(node_pool, NODE_POOL, Pb__NodePool, node_pool)

#undef OBJECT_VALUE

#endif
