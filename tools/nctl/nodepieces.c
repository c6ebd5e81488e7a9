#include "nodepieces.h"
#include "show.h"
#include "table.h"
#include <string.h>

static bool is_live(const json_t *alloc)
{
    const char *status = text_at(alloc, "ClientStatus");
    return strcmp(status, "running") == 0 || strcmp(status, "pending") == 0;
}

/* Calls visit with each task's part of what live allocations hold. */
static void each_task(const json_t *allocs, void *self,
                      void (*visit)(void *self, const json_t *resources))
{
    size_t i;
    json_t *alloc, *task;
    const char *name;
    json_array_foreach((json_t *)allocs, i, alloc)
    {
        if (is_live(alloc))
            json_object_foreach(value_at(value_at(alloc, "AllocatedResources"), "Tasks"), name,
                                task) visit(self, task);
    }
}

static void count_cores(void *self, const json_t *task)
{
    *(size_t *)self += json_array_size(value_at(value_at(task, "Cpu"), "ReservedCores"));
}

struct counted {
    const json_t *device;
    size_t given;
};

static bool is_same(const json_t *a, const json_t *b)
{
    return strcmp(text_at(a, "Vendor"), text_at(b, "Vendor")) == 0 &&
           strcmp(text_at(a, "Type"), text_at(b, "Type")) == 0 &&
           strcmp(text_at(a, "Name"), text_at(b, "Name")) == 0;
}

static void count_devices(void *self, const json_t *task)
{
    struct counted *c = self;
    size_t i;
    json_t *device;
    json_array_foreach(value_at(task, "Devices"), i, device)
    {
        if (is_same(device, c->device))
            c->given += json_array_size(value_at(device, "DeviceIDs"));
    }
}

static size_t healthy_of(const json_t *device)
{
    size_t i, n = 0;
    json_t *instance;
    json_array_foreach(value_at(device, "Instances"), i, instance)
    {
        n += json_is_true(value_at(instance, "Healthy"));
    }
    return n;
}

void print_pieces(const json_t *node, const json_t *allocs, bool colors)
{
    const json_t *all = value_at(node, "NodeResources");
    json_t *devices = value_at(all, "Devices"), *device;
    size_t cores = json_array_size(value_at(value_at(all, "Cpu"), "ReservableCpuCores")), given = 0,
           i;
    struct table t;
    each_task(allocs, &given, count_cores);
    if (given == 0 && json_array_size(devices) == 0)
        return;
    print_section(stdout, colors, "Cores and Devices");
    table_init(&t, "What|In Use|Healthy|Number", colors);
    TABLE_ROW(&t, "cores", show("%zu", given), show("%zu", cores), show("%zu", cores));
    json_array_foreach(devices, i, device)
    {
        struct counted c = {device, 0};
        each_task(allocs, &c, count_devices);
        TABLE_ROW(&t,
                  show("%s/%s/%s", text_at(device, "Vendor"), text_at(device, "Type"),
                       text_at(device, "Name")),
                  show("%zu", c.given), show("%zu", healthy_of(device)),
                  show("%zu", json_array_size(value_at(device, "Instances"))));
    }
    table_print(&t, stdout);
    table_free(&t);
}
