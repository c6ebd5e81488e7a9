/* Networks by plugins of CNI: what they are asked and in which order, with plugins of the test's
 * own; and with Debian's, where they are installed. */
#include "fake_gateway.h"
#include "own_network.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNNING  PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE PB__ALLOC__CLIENT_STATUS__COMPLETE
#define FAILED   PB__ALLOC__CLIENT_STATUS__FAILED
#define LONG_MS  60000

/* Notes what it is asked, and says what a network could be. */
#define PLUGIN                                                                                     \
    "#!/bin/sh\n"                                                                                  \
    "here=$(dirname \"$0\")\n"                                                                     \
    "name=$(basename \"$0\")\n"                                                                    \
    "case $CNI_COMMAND in\n"                                                                       \
    "VERSION) echo '{\"cniVersion\": \"1.0.0\", \"supportedVersions\": [\"0.4.0\", \"1.0.0\"]}'\n" \
    "  exit ;;\n"                                                                                  \
    "esac\n"                                                                                       \
    "echo \"$CNI_COMMAND $name $CNI_IFNAME\" >>\"$here/../order\"\n"                               \
    "echo \"$CNI_ARGS\" >\"$here/../$name.$CNI_COMMAND.args\"\n"                                   \
    "cat >\"$here/../$name.$CNI_COMMAND\"\n"                                                       \
    "if [ $name.$CNI_COMMAND = refuses.ADD ]; then\n"                                              \
    "  echo '{\"code\": 7, \"msg\": \"no address is left\"}'\n"                                    \
    "  exit 1\n"                                                                                   \
    "fi\n"                                                                                         \
    "[ $CNI_COMMAND = ADD ] || exit 0\n"                                                           \
    "echo '{\"cniVersion\": \"0.4.0\", \"interfaces\": [{\"name\": \"eth0\", \"sandbox\": \"'"     \
    "$CNI_NETNS'\"}],'\n"                                                                          \
    "echo '\"ips\": [{\"version\": \"4\", \"address\": \"10.9.8.7/24\", \"interface\": 0}],'\n"    \
    "echo '\"dns\": {\"nameservers\": [\"192.0.2.1\"]}}'\n"
#define SLEEPS                                                                                     \
    "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"grep server /etc/resolv.conf; "               \
    "echo $NOMAD_ALLOC_ADDR_web; exec sleep 3600\"]}"

static struct fake *f;
static char plugins[128], configs[128];

static const char *path(const char *below)
{
    return arena_printf(f->arena, "%s/%s", f->dir, below);
}

static void write_file(const char *below, mode_t mode, const char *text)
{
    FILE *file = fopen(path(below), "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    fclose(file);
    cr_assert_eq(chmod(path(below), mode), 0);
}

static const char *read_file(const char *below)
{
    char *text = arena_alloc(f->arena, 8192);
    FILE *file = fopen(path(below), "r");
    size_t n = file == NULL ? 0 : fread(text, 1, 8191, file);
    text[n] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

static void begin(void)
{
    own_network_enter();
    f = fake_new();
    snprintf(plugins, sizeof plugins, "%s/plugins", f->dir);
    snprintf(configs, sizeof configs, "%s/configs", f->dir);
    cr_assert(mkdir(plugins, 0755) == 0 && mkdir(configs, 0755) == 0);
    const char *const extra[] = {"--cni-path", plugins, "--cni-config-dir", configs};
    memcpy(f->extra, extra, sizeof extra);
    write_file("plugins/first", 0755, PLUGIN);
    write_file("plugins/second", 0755, PLUGIN);
    write_file("plugins/refuses", 0755, PLUGIN);
    write_file(
        "configs/10-mine.conflist", 0644,
        "{\"cniVersion\": \"0.4.0\", \"name\": \"mine\", \"plugins\": [{\"type\": \"first\"}, "
        "{\"type\": \"second\", \"capabilities\": {\"portMappings\": true}}]}");
    write_file("configs/20-refused.conflist", 0644,
               "{\"cniVersion\": \"0.4.0\", \"name\": \"refused\", \"plugins\": [{\"type\": "
               "\"first\"}, {\"type\": \"refuses\"}]}");
    write_file("configs/30-lacking.conf", 0644,
               "{\"cniVersion\": \"0.4.0\", \"name\": \"lacking\", \"type\": \"not-here\"}");
}
static void end(void)
{
    if (f != NULL)
        fake_free(f);
}
TestSuite(cni, .init = begin, .fini = end, .timeout = 200);

static bool has_mode(const char *mode)
{
    for (size_t i = 0; i < f->node->n_networks; i++)
        if (strcmp(f->node->networks[i]->mode, mode) == 0)
            return true;
    return false;
}

static int place(const char *mode)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec", SLEEPS);
    Pb__Network *n = own_network_of(f, job, mode);
    n->cni_args = arena_array(f->arena, Pb__KeyValue *, 1);
    n->cni_args[0] = arena_alloc(f->arena, sizeof *n->cni_args[0]);
    pb__key_value__init(n->cni_args[0]);
    n->cni_args[0]->key = arena_strdup(f->arena, "COLOUR");
    n->cni_args[0]->value = arena_strdup(f->arena, "red");
    n->n_cni_args = 1;
    f->port = arena_alloc(f->arena, sizeof *f->port);
    pb__port__init(f->port);
    f->port->label = arena_strdup(f->arena, "web");
    f->port->has_value = f->port->has_to = true;
    f->port->value = 21080;
    f->port->to = 80;
    int i = fake_place(f, job);
    f->port = NULL;
    return i;
}

static void expect_in(const char *text, const char *part)
{
    cr_expect(strstr(text, part) != NULL, "no %s in: %s", part, text);
}

static const char *expected;
static bool order_is(struct fake *w)
{
    return strcmp(read_file("order"), expected) == 0;
}
static void expect_order(const char *order)
{
    expected = order;
    cr_expect(fake_until(f, order_is, LONG_MS), "%s", read_file("order"));
}

Test(cni, a_node_has_the_networks_whose_plugins_are_there)
{
    fake_start_agent(f);
    const char *version = fake_attribute(f, "plugins.cni.version.first");
    cr_expect(version != NULL && strcmp(version, "1.0.0") == 0);
    cr_expect(has_mode("cni/mine") && has_mode("cni/refused") && !has_mode("cni/lacking"));
    const char *why = fake_attribute(f, "network.cni.unusable.30-lacking.conf");
    cr_assert_not_null(why);
    expect_in(why, "plugin not-here is in none of");
}

Test(cni, plugins_are_asked_in_order_and_taken_back_in_reverse)
{
    fake_start_agent(f);
    int i = place("cni/mine");
    cr_assert(fake_await(f, i, RUNNING, LONG_MS), "%s", fake_events(f, i, "t"));
    const Pb__NetworkStatus *s = f->allocs[i].said->network_status;
    cr_assert_not_null(s);
    cr_expect_str_eq(s->address, "10.9.8.7");
    cr_expect_str_eq(s->interface_name, "eth0");
    expect_order("ADD first eth0\nADD second eth0\n");
    cr_expect(strstr(read_file("first.ADD"), "runtimeConfig") == NULL);
    expect_in(read_file("second.ADD"),
              "\"portMappings\":[{\"hostPort\":21080,\"containerPort\":80,");
    expect_in(read_file("second.ADD"), "\"prevResult\":{");
    expect_in(read_file("first.ADD.args"), "IgnoreUnknown=1;NOMAD_ALLOC_ID=");
    expect_in(read_file("first.ADD.args"), ";COLOUR=red\n");
    fake_kill_agent(f, SIGKILL);
    fake_start_agent(f);
    expect_order("ADD first eth0\nADD second eth0\nCHECK first eth0\nCHECK second eth0\n");
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, LONG_MS));
    own_network_await_gone(f, i);
    expect_order("ADD first eth0\nADD second eth0\nCHECK first eth0\nCHECK second eth0\n"
                 "DEL second eth0\nDEL first eth0\n");
    expect_in(read_file("first.DEL"), "\"prevResult\":{");
    cr_expect_str_eq(fake_content(f, i, "alloc/logs/t.stdout.0"),
                     "nameserver 192.0.2.1\n10.9.8.7:80\n");
}

Test(cni, what_a_plugin_refuses_fails_the_task_with_its_words_and_is_taken_back)
{
    fake_start_agent(f);
    int i = place("cni/refused");
    cr_assert(fake_await(f, i, FAILED, LONG_MS), "%s", fake_events(f, i, "t"));
    const Pb__TaskState *t = fake_task(f, i, "t");
    bool told = false;
    for (size_t k = 0; k < t->n_events; k++)
        told |= strstr(t->events[k]->display_message, "plugin refuses, ADD: no address is left") !=
                NULL;
    cr_expect(told, "%s", fake_events(f, i, "t"));
    own_network_await_gone(f, i);
    expect_order("ADD first eth0\nADD refuses eth0\nDEL refuses eth0\nDEL first eth0\n");
}

Test(cni, the_usual_plugins_make_a_network)
{
    if (access("/usr/lib/cni/bridge", X_OK) != 0 || access("/usr/lib/cni/host-local", X_OK) != 0)
        own_network_skip("the plugins bridge and host-local are not installed in /usr/lib/cni");
    f->extra[1] = "/opt/cni/bin,/usr/lib/cni";
    write_file("configs/40-usual.conflist", 0644,
               arena_printf(f->arena,
                            "{\"cniVersion\": \"0.4.0\", \"name\": \"usual\", \"plugins\": ["
                            "{\"type\": \"bridge\", \"bridge\": \"usual0\", \"isGateway\": true, "
                            "\"ipam\": {\"type\": \"host-local\", \"subnet\": \"10.77.0.0/24\", "
                            "\"dataDir\": \"%s/ipam\"}}]}",
                            f->dir));
    fake_start_agent(f);
    int i = place("cni/usual");
    cr_assert(fake_await(f, i, RUNNING, LONG_MS), "%s", fake_events(f, i, "t"));
    cr_assert_not_null(f->allocs[i].said->network_status);
    cr_expect_str_eq(f->allocs[i].said->network_status->address, "10.77.0.2");
    cr_expect_eq(access(path("ipam/usual/10.77.0.2"), F_OK), 0);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, LONG_MS));
    own_network_await_gone(f, i);
    cr_expect_neq(access(path("ipam/usual/10.77.0.2"), F_OK), 0, "the address is not given back");
}
