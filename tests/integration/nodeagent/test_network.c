/* Networks of allocations with real namespaces, interfaces and nftables, in a network and mount
 * namespace of the test's own: nothing of the host's is touched, and what a test leaves ends with
 * it. */
#include "base/id.h"
#include "fake_gateway.h"
#include "own_network.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNNING  PB__ALLOC__CLIENT_STATUS__RUNNING
#define COMPLETE PB__ALLOC__CLIENT_STATUS__COMPLETE
#define LONG_MS  60000
#define GATEWAY  "172.26.64.1"

/* Says what it was told, then answers "tcp" and "udp" on its port. */
#define SERVER                                                                                     \
    "{\"command\": \"/usr/bin/env\", \"args\": [\"python3\", \"-c\", \""                           \
    "import os, select, socket\\n"                                                                 \
    "p = int(os.environ['NOMAD_PORT_web'])\\n"                                                     \
    "t = socket.create_server(('', p))\\n"                                                         \
    "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\\n"                                      \
    "u.bind(('', p))\\n"                                                                           \
    "print(p, *[os.environ['NOMAD_' + k + '_web'] for k in ['HOST_PORT', 'ALLOC_ADDR', "           \
    "'ALLOC_INTERFACE']], socket.gethostname(), flush=True)\\n"                                    \
    "while True:\\n"                                                                               \
    "  for s in select.select([t, u], [], [])[0]:\\n"                                              \
    "    if s is t:\\n"                                                                            \
    "      c = t.accept()[0]\\n"                                                                   \
    "      c.sendall(b'tcp')\\n"                                                                   \
    "      c.close()\\n"                                                                           \
    "    else:\\n"                                                                                 \
    "      u.sendto(b'udp', u.recvfrom(9)[1])\\n"                                                  \
    "\"]}"

static struct fake *f;

static void begin(void)
{
    if (system("python3 -c pass") != 0)
        own_network_skip("there is no python3 for the tasks");
    own_network_enter();
    f = fake_new();
    fake_start_agent(f);
    const char *missing = fake_attribute(f, "network.bridge.unhealthy");
    if (missing != NULL)
        own_network_skip(missing);
}
static void end(void)
{
    if (f != NULL)
        fake_free(f);
}
TestSuite(network, .init = begin, .fini = end, .timeout = 200);

/* As the scheduler would give it. */
static Pb__Port *port_of(uint32_t value, int32_t to)
{
    Pb__Port *p = arena_alloc(f->arena, sizeof *p);
    pb__port__init(p);
    p->label = arena_strdup(f->arena, "web");
    p->has_value = p->has_to = true;
    p->value = value;
    p->to = to;
    return p;
}

static const char *output(int i)
{
    return fake_content(f, i, "alloc/logs/t.stdout.0");
}

static int with_output;
static bool has_said(struct fake *w)
{
    return strchr(output(with_output), '\n') != NULL;
}

static void await_output(int i)
{
    with_output = i;
    cr_assert(fake_until(f, has_said, LONG_MS), "%s; %s", fake_events(f, i, "t"),
              fake_content(f, i, "alloc/logs/t.stderr.0"));
}

static int place_server(uint32_t port)
{
    Pb__Job *job = fake_job(f, "service", "raw_exec", SERVER);
    own_network_of(f, job, "bridge")->hostname = arena_strdup(f->arena, "web-${NOMAD_ALLOC_INDEX}");
    f->port = port_of(port, 80);
    int i = fake_place(f, job);
    f->port = NULL;
    await_output(i);
    return i;
}

/* What is answered there, "" if nothing is; in the namespace of the path, or ours. */
static void fetch(const char *netns, int type, const char *ip, uint16_t port, char answer[16])
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(ip)};
    const struct timeval patience = {.tv_sec = 20};
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int ns = netns == NULL ? -1 : open(netns, O_RDONLY);
        if (netns != NULL && setns(ns, CLONE_NEWNET) != 0)
            _exit(1);
        int fd = socket(AF_INET, type, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
            _exit(1);
        if (type == SOCK_DGRAM && send(fd, "?", 1, 0) != 1)
            _exit(1);
        ssize_t n = recv(fd, answer, 15, type == SOCK_STREAM ? MSG_WAITALL : 0);
        _exit(n > 0 && write(ends[1], answer, (size_t)n) == n ? 0 : 1);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], answer, 15);
    answer[n < 0 ? 0 : n] = '\0';
    close(ends[0]);
    waitpid(pid, NULL, 0);
}

static void expect_answer(const char *netns, int type, const char *ip, uint16_t port,
                          const char *expected)
{
    char answer[16];
    fetch(netns, type, ip, port, answer);
    cr_expect(strcmp(answer, expected) == 0, "%s:%u: %s", ip, port, answer);
}

static void expect_answers(const char *netns, const char *ip, uint16_t port)
{
    expect_answer(netns, SOCK_STREAM, ip, port, "tcp");
    expect_answer(netns, SOCK_DGRAM, ip, port, "udp");
}

Test(network, a_port_of_the_node_leads_to_the_task_from_everywhere)
{
    int i = place_server(21080);
    cr_assert(fake_await(f, i, RUNNING, LONG_MS), "%s", fake_events(f, i, "t"));
    const Pb__NetworkStatus *s = f->allocs[i].said->network_status;
    cr_assert_not_null(s);
    cr_expect_str_eq(s->interface_name, "eth0");
    cr_expect_str_eq(s->address, "172.26.64.2");
    cr_expect_str_eq(output(i), "80 21080 172.26.64.2:80 eth0 web-0\n");
    expect_answers(NULL, "127.0.0.1", 21080);
    expect_answers(NULL, GATEWAY, 21080);
    expect_answers(NULL, "172.26.64.2", 80);
    expect_answers(own_network_space(f, i, "/net"), GATEWAY, 21080); /* and back to itself */
    int other = place_server(21081);
    expect_answers(own_network_space(f, other, "/net"), GATEWAY, 21080);
    fake_stop(f, i);
    cr_assert(fake_await(f, i, COMPLETE, LONG_MS));
    own_network_await_gone(f, i);
    expect_answer(NULL, SOCK_STREAM, "127.0.0.1", 21080, "");
    expect_answers(NULL, "127.0.0.1", 21081);
}

Test(network, a_killed_agent_finds_networks_again_and_removes_what_is_nobodys)
{
    char command[512];
    bool has_nft = system("command -v nft >/dev/null") == 0;
    int first = place_server(21080);
    fake_kill_agent(f, SIGKILL);
    int nobodys = fake_place(f, fake_job(f, "batch", "raw_exec", "{}"));
    Pb__Alloc *unknown = f->allocs[nobodys].alloc;
    f->allocs[nobodys].alloc = NULL; /* the next agent is not told of it */
    char id[ID_TEXT_SIZE];
    id_format(unknown->id.data, id);
    snprintf(command, sizeof command, "%s/tasknet --dir %s/data/netns add %s@172.26.64.9,21090:80",
             getenv("NORN_BIN"), f->dir, id);
    cr_assert_eq(system(command), 0);
    if (has_nft) /* as after a firewall was loaded anew */
        cr_assert_eq(system("nft flush map ip norn ports"), 0);
    const char *left = arena_printf(f->arena, "%s/data/netns/%s", f->dir, id);
    cr_assert_eq(access(left, F_OK), 0);
    fake_start_agent(f);
    int second = place_server(21081);
    cr_assert(fake_await(f, second, RUNNING, LONG_MS));
    cr_expect_neq(access(left, F_OK), 0, "%s", left);
    cr_expect_str_eq(f->allocs[second].said->network_status->address, "172.26.64.3");
    expect_answers(NULL, "127.0.0.1", 21080);
    expect_answers(NULL, "127.0.0.1", 21081);
    if (has_nft)
        cr_expect_neq(system("nft list map ip norn ports | grep -q 21090"), 0);
    fake_stop(f, first);
    fake_stop(f, second);
    cr_assert(fake_await(f, first, COMPLETE, LONG_MS) && fake_await(f, second, COMPLETE, LONG_MS));
    own_network_await_gone(f, first);
    own_network_await_gone(f, second);
}

static Pb__Dns *dns(void)
{
    Pb__Dns *d = arena_alloc(f->arena, sizeof *d);
    pb__dns__init(d);
    d->servers = arena_array(f->arena, char *, 1);
    d->servers[d->n_servers++] = arena_strdup(f->arena, "192.0.2.53");
    d->searches = arena_array(f->arena, char *, 1);
    d->searches[d->n_searches++] = arena_strdup(f->arena, "svc.example");
    return d;
}

static int run_alone(const char *driver)
{
    Pb__Job *job =
        fake_job(f, "batch", driver,
                 "{\"command\": \"/bin/sh\", \"args\": [\"-c\", \"grep -c : /proc/net/dev; "
                 "grep -E 'server|search' /etc/resolv.conf; cat /proc/sys/kernel/hostname\"]}");
    Pb__Network *n = own_network_of(f, job, "none");
    n->dns = dns();
    n->hostname = arena_strdup(f->arena, "alone");
    int i = fake_place(f, job);
    cr_assert(fake_await(f, i, COMPLETE, LONG_MS), "%s; %s", fake_events(f, i, "t"),
              fake_content(f, i, "alloc/logs/t.stderr.0"));
    return i;
}

static void expect_alone(const char *driver)
{
    int i = run_alone(driver);
    const char *said = output(i);
    cr_expect(strcmp(said, "1\nnameserver 192.0.2.53\nsearch svc.example\nalone\n") == 0, "%s: %s",
              driver, said);
    cr_expect_null(f->allocs[i].said->network_status);
    own_network_await_gone(f, i);
}

Test(network, mode_none_leaves_the_loopback_alone_and_names_are_the_jobs)
{
    expect_alone("raw_exec");
    if (fake_attribute(f, "driver.exec") != NULL)
        expect_alone("exec");
}
