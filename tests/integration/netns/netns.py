#!/usr/bin/env python3
"""Real daemons in network namespaces: three servers and two clients of one region, a server of another, all on one bridge.
While clients register, scale, stop and read jobs at any server, links are cut, servers stopped (SIGSTOP) and killed, one at a
time. Then the history of answers must be linearizable by job, every job must have its desired count, no task may run twice,
and the other region must answer.

  netns.py [--seed N] [--rounds N] [--keep]     BIN: the programs; CHECK_HISTORY: the checker. Needs root; exits 77 where
                                                namespaces cannot be made.
"""
import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BIN = os.environ["BIN"]
SERVERS = {"s1": ("global", "10.99.0.1"), "s2": ("global", "10.99.0.2"), "s3": ("global", "10.99.0.3"),
           "w1": ("west", "10.99.0.21")}
OURS = ["s1", "s2", "s3"]
CLIENTS = {"c1": "10.99.0.11", "c2": "10.99.0.12"}
TESTER = "10.99.0.99"
DAEMONS = ["jobstore", "gossip", "evalbroker", "planqueue", "schedworker", "controller", "gateway"]
JOBS, OPS_OF_A_JOB, THREADS = 10, 28, 4


def sh(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


class Net:
    """Namespaces named after this process, joined by a bridge in one of their own."""

    def __init__(self):
        self.prefix = "norn-%d-" % os.getpid()
        self.made = []

    def add(self, name):
        sh("ip", "netns", "add", self.prefix + name)
        self.made.append(name)
        sh("ip", "-n", self.prefix + name, "link", "set", "lo", "up")

    def open(self):
        switch = self.prefix + "sw"
        self.add("sw")
        sh("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", switch, "link", "set", "br0", "up")
        hosts = {n: a for n, (_, a) in SERVERS.items()}
        for name, address in {**hosts, **CLIENTS, "t": TESTER}.items():
            self.add(name)
            own = self.prefix + name
            sh("ip", "-n", switch, "link", "add", "to-" + name, "type", "veth", "peer", "name", "eth0", "netns", own)
            sh("ip", "-n", switch, "link", "set", "to-" + name, "master", "br0", "up")
            sh("ip", "-n", own, "addr", "add", address + "/24", "dev", "eth0")
            sh("ip", "-n", own, "link", "set", "eth0", "up")

    def cut(self, name, down):
        sh("ip", "-n", self.prefix + "sw", "link", "set", "to-" + name, "down" if down else "up")

    def close(self):
        for name in reversed(self.made):
            sh("ip", "netns", "del", self.prefix + name, check=False)

    def enter(self, name):
        """This process speaks from that namespace from now on, its children too."""
        fd = os.open("/run/netns/" + self.prefix + name, os.O_RDONLY)
        import ctypes
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)


# The namespaces are nobody else's network; tests/integration/tls.sh has the certificates.
PLAIN = "tls: { allow_plain_tcp = true; };\n"


def quoted(items):
    return ", ".join('"%s"' % i for i in items)


def server_config(name, directory):
    region, address = SERVERS[name]
    run = "ipc://%s/run/" % directory
    several = region == "global"
    store = 'jobstore = "%sjobstore.sock"; jobstore_poll = "%sjobstore-poll.sock"; ' % (run, run)
    known = ["%s.%s=tcp://%s:4647" % (n, r, a) for n, (r, a) in SERVERS.items()]
    text = PLAIN + 'jobstore: { listen = "%sjobstore.sock"; listen_poll = "%sjobstore-poll.sock"; data_dir = "%s/jobstore"; ' \
           'map_size = "1GiB"; ' % (run, run, directory)
    if several:
        text += 'server_name = "%s"; region = "%s"; listen_raft = "tcp://%s:4649"; bootstrap_expect = 3; peers = [%s]; ' % (
            name, region, address, quoted("%s=tcp://%s:4649" % (n, SERVERS[n][1]) for n in OURS))
    text += "};\n"
    text += 'gossip: { listen = "%sgossip.sock"; name = "%s"; region = "%s"; address = "%s"; };\n' % (run, name, region, address)
    for daemon in ("evalbroker", "planqueue", "controller"):
        text += '%s: { listen = "%s%s.sock"; %s};\n' % (daemon, run, daemon, store)
    text += 'schedworker: { evalbroker = "%sevalbroker.sock"; planqueue = "%splanqueue.sock"; gateway = "%sgateway-poll.sock"; %s};\n' % (
        run, run, run, store)
    text += 'gateway: { listen = "%sgateway.sock"; listen_poll = "%sgateway-poll.sock"; http = "%s:4646"; ' \
            'listen_rpc = "tcp://%s:4647"; controller = "%scontroller.sock"; evalbroker = "%sevalbroker.sock"; ' \
            'planqueue = "%splanqueue.sock"; gossip = "%sgossip.sock"; name = "%s"; region = "%s"; known_servers = [%s]; %s};\n' % (
                run, run, address, address, run, run, run, run, name, region, quoted(known), store)
    return text


class Bed:
    def __init__(self, net, directory):
        self.net, self.dir = net, directory
        self.processes = {}  # (host, daemon) -> Popen
        for host in list(SERVERS) + list(CLIENTS):
            os.makedirs(os.path.join(directory, host, "run"), mode=0o750)
            with open(self.config(host), "w") as f:
                f.write(server_config(host, os.path.join(directory, host)) if host in SERVERS else self.client_config(host))

    def config(self, host):
        return os.path.join(self.dir, host, "conf")

    def client_config(self, host):
        doors = quoted("tcp://%s:4647" % SERVERS[n][1] for n in OURS)
        return PLAIN + 'nodeagent: { servers = [%s]; data_dir = "%s/%s/data"; name = "%s"; cgroup = "none"; };\n' % (
            doors, self.dir, host, host)

    def start(self, host, daemon):
        log = open(os.path.join(self.dir, host, daemon + ".log"), "a")
        self.processes[host, daemon] = subprocess.Popen(
            ["ip", "netns", "exec", self.net.prefix + host, os.path.join(BIN, daemon), "--config", self.config(host)],
            stdout=log, stderr=log)

    def start_host(self, host):
        for daemon in DAEMONS if host in SERVERS else ["nodeagent"]:
            self.start(host, daemon)

    def of(self, host):
        return [p for (h, _), p in self.processes.items() if h == host]

    def signal(self, host, number):
        for p in self.of(host):
            p.send_signal(number)

    def kill(self, host):
        self.signal(host, signal.SIGKILL)
        for p in self.of(host):
            p.wait()

    def close(self):
        for p in self.processes.values():
            p.send_signal(signal.SIGCONT)
            p.kill()
        for p in self.processes.values():
            p.wait()


def ask(server, method, path, body=None, timeout=12):
    """(status, text); (0, ""): no answer."""
    connection = http.client.HTTPConnection(SERVERS[server][1], 4646, timeout=timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def wait_for(seconds, what, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within %d s: %s" % (seconds, what))
        time.sleep(0.1)


def marker(k):
    """What the tasks of job k sleep: nobody else's tasks do."""
    return "%d.%d" % (100000 + k, os.getpid())


def a_job(k, value, count):
    return {"Job": {"ID": "job-%d" % k, "Datacenters": ["dc1"], "Type": "service", "Meta": {"v": str(value)}, "TaskGroups": [
        {"Name": "g", "Count": count, "RestartPolicy": {"Attempts": 0, "Mode": "fail", "Interval": 10**10, "Delay": 10**9},
         "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": [marker(k)]}, "KillTimeout": 10**9,
                    "Resources": {"CPU": 20, "MemoryMB": 10}}]}]}}


class History:
    """Operations as the checker wants them, and how many of each job are left to do."""

    def __init__(self, path):
        self.file, self.lock = open(path, "w"), threading.Lock()
        self.left = {k: OPS_OF_A_JOB for k in range(JOBS)}
        self.unknown = {k: 0 for k in range(JOBS)}
        self.next_value, self.failures, self.counted = 0, 0, 0

    def take(self, rng):
        """A job to do something with. One with many unanswered operations is left alone: each doubles the checker's work."""
        with self.lock:
            open_ones = [k for k, n in self.left.items() if n > 0 and self.unknown[k] < 6]
            if not open_ones:
                return None, None
            k = rng.choice(open_ones)
            self.left[k] -= 1
            self.next_value += 1
            return k, self.next_value

    def add(self, k, begin, end, kind, value, stopped):
        with self.lock:
            self.counted += 1
            self.failures += end is None
            self.unknown[k] += end is None and kind != "read"
            self.file.write("job-%d %d %s %s %d %d\n" % (k, begin, "-" if end is None else end, kind, value, stopped))


def microseconds():
    return time.monotonic_ns() // 1000


def one_operation(history, rng, k, value):
    server, chance = rng.choice(OURS), rng.random()
    path = "/v1/job/job-%d" % k
    begin = microseconds()
    if chance < 0.35:
        status, _ = ask(server, "PUT", "/v1/jobs", a_job(k, value, rng.randrange(3)))
        history.add(k, begin, microseconds() if status == 200 else None, "write", value, False)
    elif chance < 0.45:
        status, _ = ask(server, "DELETE", path)
        history.add(k, begin, microseconds() if status == 200 else None, "stop", 0, False)
    else:
        status, text = ask(server, "GET", path)
        job = json.loads(text) if status == 200 else None
        end = microseconds() if status in (200, 404) else None
        history.add(k, begin, end, "read", int(job["Meta"]["v"]) if job else -1, bool(job and job["Stop"]))


def work(history, seed, stop):
    rng = random.Random(seed)
    while not stop.is_set():
        k, value = history.take(rng)
        if k is None:
            return
        one_operation(history, rng, k, value)
        time.sleep(rng.random() * 0.3)


def fault(bed, net, rng):
    """One fault at one host, and its end."""
    kind = rng.choice(["cut", "stop", "kill", "kill one", "cut client"])
    host = rng.choice(OURS)
    print("# %s %s" % (kind, host), flush=True)
    if kind == "cut":
        net.cut(host, True)
        time.sleep(2.5)
        net.cut(host, False)
    elif kind == "stop":
        bed.signal(host, signal.SIGSTOP)
        time.sleep(2.5)
        bed.signal(host, signal.SIGCONT)
    elif kind == "kill":
        bed.kill(host)
        time.sleep(1)
        bed.start_host(host)
    elif kind == "kill one":
        daemon = rng.choice(DAEMONS)
        bed.processes[host, daemon].kill()
        bed.processes[host, daemon].wait()
        time.sleep(0.3)
        bed.start(host, daemon)
    else:
        client = rng.choice(list(CLIENTS))
        net.cut(client, True)
        time.sleep(1.5)
        net.cut(client, False)
    time.sleep(1.5)


def running(k):
    return len(subprocess.run(["pgrep", "-fx", "/bin/sleep " + marker(k)], stdout=subprocess.PIPE, text=True).stdout.split())


def settled(k):
    """Whether the job has as many running allocations, and as many processes, as it wants."""
    status, text = ask("s1", "GET", "/v1/job/job-%d" % k)
    if status == 404:
        return running(k) == 0
    if status != 200:
        return False
    job = json.loads(text)
    want = 0 if job["Stop"] else job["TaskGroups"][0]["Count"]
    status, text = ask("s1", "GET", "/v1/job/job-%d/allocations" % k)
    live = [a for a in json.loads(text) if a["ClientStatus"] == "running" and a["DesiredStatus"] == "run"] if status == 200 else None
    return live is not None and len(live) == want and running(k) == want


def agreed_leader(servers=OURS):
    said = {ask(s, "GET", "/v1/status/leader", timeout=3) for s in servers}
    return len(said) == 1 and said.pop()[0] == 200


def nodes_ready():
    status, text = ask("s1", "GET", "/v1/nodes", timeout=3)
    return status == 200 and sorted(n["Status"] for n in json.loads(text)) == ["ready", "ready"]


def check_regions():
    status, text = ask("w1", "GET", "/v1/nodes?region=global")
    assert status == 200 and len(json.loads(text)) == 2, "the other region does not answer for ours: %d %s" % (status, text)
    status, text = ask("s2", "GET", "/v1/nodes?region=west")
    assert status == 200 and json.loads(text) == [], "ours does not answer for the other: %d %s" % (status, text)


def play(bed, net, directory, seed, rounds):
    history = History(os.path.join(directory, "history"))
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(history, seed * 1000 + i, stop)) for i in range(THREADS)]
    for t in threads:
        t.start()
    rng = random.Random(seed)
    for _ in range(rounds):
        fault(bed, net, rng)
    stop.set()
    for t in threads:
        t.join()
    wait_for(30, "all servers agree on a leader", agreed_leader)
    wait_for(60, "both nodes are ready", nodes_ready)
    for k in range(JOBS):
        wait_for(60, "job-%d has its count, each task once" % k, lambda: settled(k))
    for k in range(JOBS):  # what everybody must see now
        begin = microseconds()
        status, text = ask("s3", "GET", "/v1/job/job-%d" % k)
        job = json.loads(text) if status == 200 else None
        history.add(k, begin, microseconds(), "read", int(job["Meta"]["v"]) if job else -1, bool(job and job["Stop"]))
    history.file.close()
    print("# %d operations, %d without an answer" % (history.counted, history.failures), flush=True)
    done = subprocess.run([os.environ["CHECK_HISTORY"], history.file.name])
    assert done.returncode == 0, "the history is not linearizable"


def clear_tasks(directory):
    for k in range(JOBS):
        subprocess.run(["pkill", "-KILL", "-fx", "/bin/sleep " + marker(k)])
    for pid in subprocess.run(["pgrep", "-x", "taskshim"], stdout=subprocess.PIPE, text=True).stdout.split():
        try:
            if any(os.readlink("/proc/%s/fd/%s" % (pid, fd)).startswith(directory) for fd in os.listdir("/proc/%s/fd" % pid)):
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            pass


def skip(why):
    print("skipped: %s" % why)
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        skip("making network namespaces needs root")
    if shutil.which("ip") is None:
        skip("there is no ip command (iproute2)")
    net, bed = Net(), None
    directory = tempfile.mkdtemp(prefix="norn-netns-")
    try:
        try:
            net.open()
            net.enter("t")
        except (subprocess.CalledProcessError, OSError) as e:
            skip("network namespaces cannot be made here: %s" % (getattr(e, "stderr", None) or e))
        bed = Bed(net, directory)
        for host in list(SERVERS) + list(CLIENTS):
            bed.start_host(host)
        wait_for(60, "the region has a leader", agreed_leader)
        wait_for(60, "both nodes are ready", nodes_ready)
        check_regions()
        play(bed, net, directory, options.seed, options.rounds)
        check_regions()
    except AssertionError as e:
        options.keep = options.keep or "KEEP" in os.environ
        print("FAILED (seed %d): %s" % (options.seed, e), file=sys.stderr)
        sys.exit(1)
    finally:
        if bed is not None:
            bed.close()
        clear_tasks(directory)
        net.close()
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print("# kept: %s" % directory)


if __name__ == "__main__":
    main()
