#include "problems.h"
#include "sched/constraint.h"
#include "wire/grant.h"
#include <string.h>

static void validate_device_name(struct texts *errors, const char *name)
{
    size_t parts = 1;
    bool empty = name == NULL || name[0] == '\0' || name[0] == '/';
    for (const char *c = name; !empty && *c != '\0'; c++)
        if (*c == '/') {
            parts++;
            empty = c[1] == '\0' || c[1] == '/';
        }
    if (empty || parts > 3)
        texts_add(errors, "device name must be given as one of the following: type, vendor/type, "
                          "or vendor/type/name");
}

/* What ${device...} may name; the rest of a condition is looked at with a literal in its place. */
static char *look_at_side(struct texts *errors, char *side)
{
    char key[TARGET_LONGEST];
    if (side == NULL || strncmp(side, "${", 2) != 0)
        return side;
    bool named = target_key(side, key, sizeof(key)) &&
                 (strcmp(key, "device.vendor") == 0 || strcmp(key, "device.type") == 0 ||
                  strcmp(key, "device.model") == 0 ||
                  (strncmp(key, "device.attr.", 12) == 0 && key[12] != '\0'));
    if (!named)
        texts_add(errors,
                  "\"%.60s\" names nothing that a device has: use \"${device.attr.NAME}\", "
                  "\"${device.vendor}\", \"${device.type}\" or \"${device.model}\"",
                  side);
    return arena_strdup(errors->arena, "x");
}

static void validate_device_constraints(struct texts *errors, const Pb__RequestedDevice *d)
{
    for (size_t i = 0; i < d->n_constraints; i++) {
        struct texts inner = {.arena = errors->arena};
        Pb__Constraint copy = *d->constraints[i], *one = &copy;
        enum operand o = operand_parse(copy.operand);
        if (o != OPERAND_UNKNOWN && !operand_is_of_node(o))
            texts_add(&inner, "using unsupported operand \"%.60s\"", copy.operand);
        copy.l_target = look_at_side(&inner, copy.l_target);
        copy.r_target = look_at_side(&inner, copy.r_target);
        validate_constraints(&inner, &one, 1);
        texts_nest(errors, &inner, "Constraint %zu validation failed: ", i + 1);
    }
}

static void validate_device_affinities(struct texts *errors, const Pb__RequestedDevice *d)
{
    for (size_t i = 0; i < d->n_affinities; i++) {
        struct texts inner = {.arena = errors->arena};
        Pb__Affinity copy = *d->affinities[i], *one = &copy;
        copy.l_target = look_at_side(&inner, copy.l_target);
        copy.r_target = look_at_side(&inner, copy.r_target);
        validate_affinities(&inner, &one, 1);
        texts_nest(errors, &inner, "Affinity %zu validation failed: ", i + 1);
    }
}

void validate_devices(struct texts *errors, Pb__RequestedDevice *const *devices, size_t count)
{
    if (count > DEVICES_MOST)
        texts_add(errors, "a task may ask for at most %d devices", DEVICES_MOST);
    for (size_t i = 0; i < count && i < DEVICES_MOST; i++) {
        struct texts inner = {.arena = errors->arena};
        const Pb__RequestedDevice *d = devices[i];
        validate_device_name(&inner, d->name);
        if (d->has_count && (d->count < 1 || d->count > INSTANCES_MOST))
            texts_add(&inner, "device count must be 1 to %d", INSTANCES_MOST);
        validate_device_constraints(&inner, d);
        validate_device_affinities(&inner, d);
        texts_nest(errors, &inner, "device %zu failed validation: ", i + 1);
    }
}
