/* docker: a container of an engine that speaks Docker's API (docker, podman), by its socket
 * (setting docker_socket). taskdock stands for it below taskshim (dock/taskdock.c), and brings its
 * image before. docs/docker.md has the keys of the config. */
#include "base/id.h"
#include "dockbody.h"
#include "driver.h"
#include "nodeagent/dock/engine.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const keys[] = {"advertise_ipv6_address",
                                   "args",
                                   "auth",
                                   "auth_soft_fail",
                                   "cap_add",
                                   "cap_drop",
                                   "cgroupns",
                                   "command",
                                   "container_exists_attempts",
                                   "cpu_cfs_period",
                                   "cpu_hard_limit",
                                   "devices",
                                   "dns_options",
                                   "dns_search_domains",
                                   "dns_servers",
                                   "entrypoint",
                                   "extra_hosts",
                                   "force_pull",
                                   "group_add",
                                   "healthchecks",
                                   "hostname",
                                   "image",
                                   "image_pull_timeout",
                                   "init",
                                   "interactive",
                                   "ipc_mode",
                                   "ipv4_address",
                                   "ipv6_address",
                                   "isolation",
                                   "labels",
                                   "load",
                                   "logging",
                                   "mac_address",
                                   "memory_hard_limit",
                                   "mount",
                                   "mounts",
                                   "network_aliases",
                                   "network_mode",
                                   "oom_score_adj",
                                   "pid_mode",
                                   "pids_limit",
                                   "port_map",
                                   "ports",
                                   "privileged",
                                   "readonly_rootfs",
                                   "runtime",
                                   "security_opt",
                                   "shm_size",
                                   "storage_opt",
                                   "sysctl",
                                   "tty",
                                   "ulimit",
                                   "userns_mode",
                                   "uts_mode",
                                   "volume_driver",
                                   "volumes",
                                   "work_dir",
                                   NULL};

static enum err check_parts(const struct driver_host *h, struct reason *why)
{
    if (h->docker_socket == NULL)
        return reason_set(why, ERR_NOT_FOUND,
                          "no engine's socket was found (setting docker_socket)");
    if (h->dock == NULL || access(h->dock, X_OK) != 0)
        return reason_set(why, ERR_NOT_FOUND, "the program taskdock is not there");
    return OK;
}

static enum err fingerprint(const struct driver_host *h, struct reason *why)
{
    char version[64];
    enum err e = check_parts(h, why);
    return e == OK ? engine_version(h->docker_socket, version, sizeof version, why) : e;
}

/* ---- the image */

static bool is_reference(const char *image)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@";
    return image[0] != '\0' && image[0] != '/' && image[0] != '.' && strlen(image) < 256 &&
           strspn(image, letters) == strlen(image) && strstr(image, "..") == NULL;
}

static enum err read_image(const struct driver_ask *ask, const char **image, struct reason *why)
{
    enum err e = config_text(ask, "image", image, why);
    if (e != OK)
        return e;
    if (*image == NULL)
        return reason_set(why, ERR_INVALID, "config key \"image\" is missing");
    if (strncmp(*image, "https://", 8) == 0)
        *image += 8; /* Nomad's users may write it; a registry is asked so in any case */
    if (!is_reference(*image))
        return reason_set(why, ERR_INVALID,
                          "config key \"image\": \"%.100s\" is no name of an image", *image);
    return OK;
}

static enum err put_load(const struct driver_ask *ask, json_t *spec, struct reason *why)
{
    const char *load = NULL;
    enum err e = config_text(ask, "load", &load, why);
    if (e != OK || load == NULL || *load == '\0')
        return e;
    if (load[0] == '/' || strstr(load, "..") != NULL)
        return reason_set(why, ERR_INVALID,
                          "config key \"load\": must be a file of the task's directory local");
    json_object_set_new(spec, "load", json_string(load));
    json_object_set_new(spec, "root",
                        json_string(arena_printf(ask->arena, "%s/local", ask->task_dir)));
    return OK;
}

static enum err put_auth(const struct driver_ask *ask, json_t *spec, struct reason *why)
{
    static const char *const names[] = {"email", "password", "server_address", "username", NULL};
    struct driver_ask *block;
    const char *name = NULL, *password = NULL, *server = NULL;
    enum err e = config_block(ask, "auth", names, &block, why);
    if (e != OK || block == NULL)
        return e;
    e = config_text(block, "username", &name, why);
    if (e == OK)
        e = config_text(block, "password", &password, why);
    if (e == OK)
        e = config_text(block, "server_address", &server, why);
    if (e == OK && (name == NULL || password == NULL))
        return reason_set(why, ERR_INVALID,
                          "config key \"auth\": username and password must be there");
    if (e == OK && *name != '\0')
        json_object_set_new(spec, "auth",
                            json_pack("{ss,ss,ss}", "username", name, "password", password,
                                      "serveraddress", server == NULL ? "" : server));
    return e;
}

static enum err put_pull(const struct driver_ask *ask, json_t *spec, int64_t *timeout_ms,
                         struct reason *why)
{
    bool pull = false, soft = false;
    *timeout_ms = ask->host->docker.pull_timeout_ms;
    enum err e = config_bool(ask, "force_pull", &pull, why);
    if (e == OK)
        e = config_bool(ask, "auth_soft_fail", &soft, why);
    if (e == OK)
        e = config_duration_ms(ask, "image_pull_timeout", timeout_ms, why);
    if (e == OK && (*timeout_ms <= 0 || *timeout_ms > INT32_MAX))
        return reason_set(
            why, ERR_INVALID,
            "config key \"image_pull_timeout\" must be more than 0 and below 24 days");
    json_object_set_new(spec, "pull", json_boolean(pull));
    json_object_set_new(spec, "soft", json_boolean(soft));
    json_object_set_new(spec, "timeout_ms", json_integer(*timeout_ms));
    return e;
}

static enum err plan_image(const struct driver_ask *ask, const char *image, json_t *spec,
                           int64_t *timeout_ms, struct reason *why)
{
    const struct docker_rules *rules = &ask->host->docker;
    json_object_set_new(spec, "image", json_string(image));
    if (rules->auth_config != NULL)
        json_object_set_new(spec, "config", json_string(rules->auth_config));
    if (rules->images != NULL)
        json_object_set_new(spec, "record", json_string(rules->images));
    enum err e = put_load(ask, spec, why);
    if (e == OK)
        e = put_auth(ask, spec, why);
    return e == OK ? put_pull(ask, spec, timeout_ms, why) : e;
}

/* ---- the plan */

/* Takes the tree. */
static char *text_of(const struct driver_ask *ask, json_t *tree)
{
    char *text = json_dumps(tree, JSON_COMPACT), *kept = arena_strdup(ask->arena, text);
    free(text);
    json_decref(tree);
    return kept;
}

/* Names are for all of the engine, so the allocation's id makes it one. */
static char *container_name(const struct driver_ask *ask)
{
    char id[ID_TEXT_SIZE];
    char *task = arena_strdup(ask->arena, ask->task->name);
    for (char *p = task; *p != '\0'; p++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *p) == NULL)
            *p = '_';
    id_format(ask->alloc->id.data, id);
    return arena_printf(ask->arena, "%.64s-%s", task, id);
}

static void begin_argv(const struct driver_ask *ask, const char *verb, size_t count,
                       struct driver_plan *out)
{
    out->program = ask->host->dock;
    out->argc = count;
    out->argv = arena_array(ask->arena, char *, count);
    out->argv[0] = arena_strdup(ask->arena, "taskdock");
    out->argv[1] = arena_strdup(ask->arena, verb);
    out->argv[2] = arena_strdup(ask->arena, ask->host->docker_socket);
    out->argv[3] = container_name(ask);
}

static enum err plan(const struct driver_ask *ask, struct driver_plan *out, struct reason *why)
{
    const char *image = NULL;
    int64_t timeout_ms = 0;
    enum err e = check_parts(ask->host, why); /* whether the engine answers, taskdock finds out */
    if (e == OK)
        e = read_image(ask, &image, why);
    if (e != OK)
        return e;
    json_t *spec = json_object(), *wanted = json_object();
    e = plan_image(ask, image, wanted, &timeout_ms, why);
    if (e == OK)
        e = dockbody_put(ask, spec, why);
    if (e != OK) {
        json_decref(spec);
        json_decref(wanted);
        return e;
    }
    json_object_set_new(json_object_get(spec, "create"), "Image", json_string(image));
    out->image = text_of(ask, wanted);
    out->image_timeout_ms = (uint32_t)timeout_ms;
    begin_argv(ask, "run", 6, out);
    out->argv[4] = text_of(ask, spec);
    out->argv[5] = arena_printf(ask->arena, "%s/container", ask->shim_dir);
    return OK;
}

static void exec(const struct driver_ask *ask, bool tty, char *const *command, size_t count,
                 struct driver_plan *out)
{
    begin_argv(ask, "exec", 5 + count, out);
    out->argv[4] = arena_strdup(ask->arena, tty ? "tty" : "pipes");
    for (size_t i = 0; i < count; i++)
        out->argv[5 + i] = command[i];
}

extern const struct driver driver_docker;
const struct driver driver_docker = {.name = "docker",
                                     .keys = keys,
                                     .container = true,
                                     .fingerprint = fingerprint,
                                     .plan = plan,
                                     .exec = exec};
