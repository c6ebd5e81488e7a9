#!/usr/bin/env python3
"""The HTTP API of gateway against a real jobstore: recorded exchanges, waiting reads, and what clients do wrong.

usage: api.py BIN_DIR DATA_DIR"""
import concurrent.futures, gzip, http.client, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

BIN, DATA = sys.argv[1], sys.argv[2]
run = tempfile.mkdtemp(prefix="norn-api-")
children = []
checks = failures = 0


def check(ok, name, detail=""):
    global checks, failures
    checks += 1
    if not ok:
        failures += 1
    print(("ok" if ok else "not ok"), checks, "-", name.replace("#", " ").replace("\n", " "))
    if not ok and detail:
        print("  " + str(detail)[:1500].replace("\n", "\n  "), file=sys.stderr)


def start(name, *options, env=None):
    log = open(f"{run}/{name}.log", "a")
    p = subprocess.Popen([f"{BIN}/{name}", *options], stderr=log, stdout=log, env=env)
    children.append(p)
    return p


def sock(name):
    return f"ipc://{run}/{name}.sock"


def start_jobstore():
    p = start("jobstore", "--listen", sock("jobstore"), "--listen-poll", sock("jobstore-poll"), "--data-dir", f"{run}/data")
    return p


def start_gateway(*more, env=None):
    log = f"{run}/gateway.log"
    seen = os.path.getsize(log) if os.path.exists(log) else 0
    p = start("gateway", "--listen", sock("gateway"), "--listen-poll", sock("gateway-poll"), "--http", "127.0.0.1:0",
              "--jobstore", sock("jobstore"), "--jobstore-poll", sock("jobstore-poll"), "--controller", sock("controller"),
              "--evalbroker", sock("evalbroker"), "--planqueue", sock("planqueue"), "--gossip", sock("gossip"),
              "--max-body", "1MiB", "--max-connections", "200", *more, env=env)
    for _ in range(200):
        m = re.search(r"event=listening .*port=(\d+)", open(log).read()[seen:])
        if m:
            return p, int(m.group(1))
        time.sleep(0.05)
    raise SystemExit("gateway does not listen: " + open(log).read())


def request(method, path, body=None, headers=None, timeout=20):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    c.request(method, path, body, headers or {})
    r = c.getresponse()
    data = r.read()
    c.close()
    if r.getheader("Content-Encoding") == "gzip":
        data = gzip.decompress(data)
    return r, data


def wait_until(condition, what, seconds=15):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return
        time.sleep(0.05)
    check(False, what)


def job(name, **more):
    return {"Job": {"ID": name, "Name": name, "Type": "batch", "Datacenters": ["dc9"], "TaskGroups": [
        {"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}]}], **more}}


def put(name, **more):
    r, data = request("PUT", "/v1/jobs", job(name, **more))
    assert r.status == 200, data
    return json.loads(data)


def index_of(path):
    return int(request("GET", path)[0].getheader("X-Nomad-Index"))


# ---------------------------------------------------------------- exchanges recorded from Nomad 1.1.0

def recorded():
    for line in open(f"{DATA}/exchanges.jsonl"):
        e = json.loads(line)
        path = e["path"] + ("?" + e["query"] if "query" in e else "")
        name = f"recorded: {e['note']}: {e['method']} {path}"
        if "body" in e and e["status"] == 200 and e["path"].startswith("/v1/job") and "EnforceIndex" in e["body"]:
            request("DELETE", f"/v1/job/{e['body']['Job']['ID']}?purge=true")
        r, data = request(e["method"], path, e.get("body"), e.get("headers"))
        problems = []
        if r.status != e["status"]:
            problems.append(f"status {r.status}, want {e['status']}: {data[:300]}")
        for k, v in e["answer_headers"].items():
            if r.getheader(k) != v:
                problems.append(f"{k}: {r.getheader(k)}, want {v}")
        if "text" in e and data.decode() != e["text"]:
            problems.append(f"body {data}, want {e['text']!r}")
        if "keys" in e and r.status == 200 and sorted(json.loads(data)) != e["keys"]:
            problems.append(f"keys {sorted(json.loads(data))}, want {e['keys']}")
        check(not problems, name, "\n".join(problems))


def node_pools():
    names = lambda path: [p["Name"] for p in json.loads(request("GET", path)[1])]
    check(names("/v1/node/pools") == ["all", "default"], "two pools are always there", names("/v1/node/pools"))
    pool = {"Name": "gpu", "Description": "fast", "Meta": {"k": "v"}, "SchedulerConfiguration": {"SchedulerAlgorithm": "spread"}}
    r, data = request("PUT", "/v1/node/pools", pool)
    check(r.status == 200 and data == b"", "a pool is made", (r.status, data))
    have = json.loads(request("GET", "/v1/node/pool/gpu")[1])
    check(without_indexes(have) == pool and have["CreateIndex"] > 0, "and is as it was made", have)
    check(names("/v1/node/pools?prefix=g") == ["gpu"] and names("/v1/node/pools") == ["all", "default", "gpu"], "and listed, by prefix too")
    for body, want in (({"Name": "a b"}, "invalid node pool"), ({"Name": "all"}, 'modifying node pool "all" is not allowed'),
                       ({"Name": "x", "SchedulerConfiguration": {"MemoryOversubscriptionEnabled": True}}, "a node pool cannot set it"),
                       ({"Name": "x", "SchedulerConfiguration": {"SchedulerAlgorithm": "magic"}}, "must be"), ([], "must be an object")):
        r, data = request("PUT", "/v1/node/pools", body)
        check(r.status in (400, 500) and want in data.decode(), f"refused: {body}", (r.status, data))
    check(request("PUT", "/v1/node/pool/other", {"Name": "gpu"})[0].status == 400, "the body must not name another")
    put("in-gpu", NodePool="gpu")
    put("in-default")
    check([j["ID"] for j in json.loads(request("GET", "/v1/node/pool/gpu/jobs")[1])] == ["in-gpu"], "the jobs of a pool")
    check(request("GET", "/v1/node/pool/gpu/nodes")[1] == b"[]", "its nodes")
    r, data = request("DELETE", "/v1/node/pool/gpu")
    check(r.status == 500 and b'node pool "gpu" has non-terminal jobs in regions: [global]' in data, "not deleted with a job in it", data)
    for name in ("in-gpu", "in-default"):
        request("DELETE", f"/v1/job/{name}?purge=true")
    check(request("DELETE", "/v1/node/pool/gpu")[0].status == 200 and request("GET", "/v1/node/pool/gpu")[0].status == 404, "deleted")
    check(request("DELETE", "/v1/node/pool/gpu")[0].status == 404 and request("DELETE", "/v1/node/pool/all")[0].status == 500, "what cannot be deleted")


def without_indexes(v):
    if isinstance(v, list):
        return [without_indexes(i) for i in v]
    return {k: w for k, w in v.items() if k not in ("CreateIndex", "ModifyIndex")} if isinstance(v, dict) else v


def recorded_namespaces():
    """In their order, on namespaces that are made and deleted on the way; bodies are compared whole, hashes too."""
    for line in open(f"{DATA}/namespaces.jsonl"):
        e = json.loads(line)
        path = e["path"] + ("?" + e["query"] if "query" in e else "")
        r, data = request(e["method"], path, e.get("body"))
        ok = r.status == e["status"]
        if "text" in e:
            ok = ok and data.decode() == e["text"]
        elif ok and "whole" in e:
            ok = without_indexes(json.loads(data)) == without_indexes(e["whole"])
        elif ok and "keys" in e:
            ok = sorted(json.loads(data)) == e["keys"]
        elif ok and "names" in e:
            ok = [f"{j['ID']}@{j['JobSummary']['Namespace']}" for j in json.loads(data)] == e["names"]
        check(ok, f"recorded: {e['note']}: {e['method']} {path}", (r.status, data[:500], e))
    for more, what in (({"Namespace": "ghost"}, 'namespace "ghost"'), ({"NodePool": "ghost"}, 'node pool "ghost"')):
        for method, path in (("PUT", "/v1/jobs"), ("PUT", "/v1/job/astray/plan")):
            r, data = request(method, path, job("astray", **more))
            check((r.status, data.decode()) == (500, f'job "astray" is in nonexistent {what}'), f"nonexistent {what}: {path}", (r.status, data))
    i = index_of("/v1/namespace/later")
    r, data, took = timed(f"/v1/namespace/later?index={i}&wait=20s", lambda: request("PUT", "/v1/namespace", {"Name": "later"}))
    check(r.status == 200 and json.loads(data)["Name"] == "later", "a namespace that is yet to come can be waited for", (r.status, data))
    i = index_of("/v1/namespaces")
    r, data, took = timed(f"/v1/namespaces?index={i}&wait=20s", lambda: request("DELETE", "/v1/namespace/later"))
    check("later" not in [n["Name"] for n in json.loads(data)], "and the end of one", data)


VOLATILE = ("CreateIndex", "ModifyIndex", "JobModifyIndex", "EvalCreateIndex", "Index", "EvalID", "SubmitTime")


def lasting(v):
    """Without what differs from run to run."""
    if isinstance(v, list):
        return [lasting(i) for i in v]
    if isinstance(v, str):
        return re.sub(r"/periodic-\d+$", "/periodic-TIME", v)
    return {k: lasting(w) for k, w in v.items() if k not in VOLATILE} if isinstance(v, dict) else v


def recorded_periodic():
    """In their order. Here nothing is planned, so the child that was forced waits, where the recorded one ran."""
    child = ""
    put("web")
    for line in open(f"{DATA}/periodic.jsonl"):
        e = json.loads(line)
        path = re.sub(r"/tick%2Fperiodic-\d+", "/" + child.replace("/", "%2F"), e["path"])
        r, data = request(e["method"], path + ("?" + e["query"] if e["query"] else ""), e.get("body"))
        ok = r.status == e["status"]
        if "text" in e:
            ok = ok and data.decode() == e["text"]
        elif ok:
            want, have = lasting(e["whole"]), lasting(json.loads(data))
            if isinstance(want, dict) and want.get("ParentID") == "tick":
                want.update(Status="pending", Version=0)
            ok = want == have
            if e["path"] == "/v1/jobs" and "body" in e:
                ok = ok and json.loads(data)["EvalID"] == "" and json.loads(data)["EvalCreateIndex"] == 0
            if e["path"].endswith("/force"):
                ok = ok and len(json.loads(data)["EvalID"]) == 36
                child = json.loads(request("GET", "/v1/jobs?prefix=tick%2Fperiodic-")[1])[0]["ID"]
        check(ok, f"recorded: {e['note']}: {e['method']} {path}", (r.status, data.decode(), e.get("whole", e.get("text"))))
    r, data = request("GET", "/v1/job/tick/summary")
    check(json.loads(data)["Children"] == {"Pending": 1, "Running": 0, "Dead": 0}, "the parent counts its child", data)
    r, data = request("GET", f"/v1/job/{child}/evaluations")
    check([e["TriggeredBy"] for e in json.loads(data)] == ["periodic-job"], "a child is found under its plain name", data)
    r, data = request("PUT", "/v1/jobs", {"Job": {"ID": "bad", "Type": "batch", "Datacenters": ["dc1"], "Periodic": {"Spec": "61 * * * *"},
        "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}]}]}})
    check(r.status == 500 and b'Invalid cron spec "61 * * * *": minute "61": use 0 to 59' in data, "a bad cron says which field", data)
    for name in (child, "tick", "web"):
        request("DELETE", f"/v1/job/{name}?purge=true")


def recorded_dispatch():
    """In their order. What is random in the children's ids and the indexes is not compared."""
    children = []
    put("web")
    for line in open(f"{DATA}/dispatch.jsonl"):
        e = json.loads(line)
        r, data = request(e["method"], e["path"], e.get("body"))
        ok = r.status == e["status"]
        if "text" in e:
            ok = ok and data.decode() == e["text"]
        elif ok and e["path"].endswith("/dispatch"):
            have = json.loads(data)
            children.append(have["DispatchedJobID"])
            ok = sorted(have) == sorted(e["whole"]) and re.fullmatch(r"greet/dispatch-\d+-[0-9a-f]{8}", children[-1])
            ok = ok and len(have["EvalID"]) == 36 and have["JobCreateIndex"] > 0
        elif ok:
            ok = lasting(json.loads(data)) == lasting(e["whole"]) and json.loads(data)["EvalID"] == ""
        check(ok, f"recorded: {e['note']}: {e['method']} {e['path']}", (r.status, data.decode(), e.get("whole", e.get("text"))))
    r, data = request("GET", "/v1/job/greet/summary")
    check(json.loads(data)["Children"] == {"Pending": 3, "Running": 0, "Dead": 0}, "the parent counts its children", data)
    r, data = request("GET", f"/v1/job/{children[1]}")
    child = json.loads(data)
    check(child["Dispatched"] and child["ParentID"] == "greet" and child["Payload"] == "cGF5bG9hZCB0ZXh0Cg==" and
          child["Meta"] == {"lang": "fr", "name": "eve"} and "MetaRequired" in child["ParameterizedJob"], "a child is as recorded", data)
    tokens = [request("PUT", "/v1/job/greet2/dispatch?idempotency_token=x", {"Payload": "aGk=", "Meta": {"name": "a"}})[1] for _ in range(2)]
    check(json.loads(tokens[0])["DispatchedJobID"] == json.loads(tokens[1])["DispatchedJobID"], "a token is dispatched once", tokens)
    children.append(json.loads(tokens[0])["DispatchedJobID"])
    for name in (*children, "greet", "greet2", "web"):
        request("DELETE", f"/v1/job/{name}?purge=true")


def held():
    """Jobs that wait for others."""
    put("first", DependsOn=[{"Job": "second"}])
    r, data = request("PUT", "/v1/jobs", job("second", DependsOn=[{"Job": "first", "Condition": "healthy"}]))
    check(r.status == 500 and data == b"the job would wait for itself: second -> first -> second", "a circle is refused and shown", data)
    job_now = json.loads(request("GET", "/v1/job/first")[1])
    check(job_now["DependsOn"] == [{"Condition": "complete", "Job": "second"}], "the condition is filled in", job_now)
    text = 'waits for job "second" to be complete (not registered)'
    evals = json.loads(request("GET", "/v1/job/first/evaluations")[1])
    check([(e["Status"], e["StatusDescription"]) for e in evals] == [("blocked", text)], "it is held, and says why", evals)
    check(job_now["StatusDescription"] == text and job_now["Status"] == "pending", "its job says so too", job_now)
    request("DELETE", "/v1/job/first?purge=true")


# ---------------------------------------------------------------- jobs

def jobs():
    first = put("life")
    check(first["EvalID"] != "" and first["EvalCreateIndex"] == first["Index"] == first["JobModifyIndex"], "a registration makes an evaluation")
    again = put("life")
    check(again["JobModifyIndex"] == first["JobModifyIndex"] and again["Index"] > first["Index"], "the same job again changes nothing but makes an evaluation", again)
    e = json.loads(request("GET", f"/v1/evaluation/{first['EvalID']}")[1])
    check(e["JobID"] == "life" and e["TriggeredBy"] == "job-register", "its evaluation can be read", e)
    put("life", Priority=70)
    versions = json.loads(request("GET", "/v1/job/life/versions")[1])
    check([v["Version"] for v in versions["Versions"]] == [1, 0], "versions, newest first", versions)
    check(versions["Diffs"] is None, "no diffs unless they are asked for", versions["Diffs"])
    diffs = json.loads(request("GET", "/v1/job/life/versions?diffs=true")[1])["Diffs"]
    check([[f["Name"], f["Old"], f["New"], f["Type"]] for f in diffs[0]["Fields"]] == [["Priority", "50", "70", "Edited"]], "what a version changed", diffs)
    r, data = request("GET", "/v1/job/life/versions?diffs=maybe")
    check(r.status == 500 and b'"diffs" (maybe) as a bool' in data, "whether diffs are wanted is yes or no", data)
    stub = [j for j in json.loads(request("GET", "/v1/jobs?prefix=lif")[1])]
    check(len(stub) == 1 and stub[0]["Priority"] == 70 and "g" in stub[0]["JobSummary"]["Summary"], "the list has its summary", stub)
    want = json.load(open(f"{DATA}/job-stub.json"))
    check(set(want) == set(stub[0]), "a stub has the recorded keys", set(want) ^ set(stub[0]))
    whole = json.loads(request("GET", "/v1/job/life")[1])
    check(set(json.load(open(f"{DATA}/job.json"))) == set(whole), "a job has the recorded keys")
    r, data = request("PUT", "/v1/jobs", job("life", Type="service"))
    check(r.status == 500 and data == b'cannot update job from type "batch" to "service"', "the type cannot change", data)
    gone = json.loads(request("DELETE", "/v1/job/life")[1])
    check(gone["EvalID"] != "", "deregistration makes an evaluation", gone)
    check(json.loads(request("GET", "/v1/job/life")[1])["Stop"] is True, "a stopped job stays")
    request("DELETE", "/v1/job/life?purge=true")
    check(request("GET", "/v1/job/life")[0].status == 404, "a purged one does not")
    for path in ("a/b", "a%2Fb"):
        r, data = request("GET", f"/v1/job/{path}")
        check(r.status == 404 and data == b"job not found", f"an id may hold a slash: {path}")
        check(request("GET", f"/v1/job/{path}/evaluations")[1] == b"[]", f"and go on behind it: {path}")
    put("uni-\u2603", Meta={"k": "h\u00e9<&>\u0001"})
    r, data = request("GET", "/v1/job/uni-%E2%98%83")
    check("h\u00e9<&>".encode() in data and b"\\u0001" in data, "UTF-8 and angle brackets are not escaped", data)


# ---------------------------------------------------------------- versions and scaling

def said(r_data, status, text, name):
    r, data = r_data
    check(r.status == status and data.decode() == text, name, (r.status, data))


def versions():
    """Refusals in the recorded words (06); answers with the recorded keys."""
    put("back")
    put("back", Priority=70)
    revert, stable = "/v1/job/back/revert", "/v1/job/back/stable"
    said(request("PUT", revert, {"JobID": "back", "JobVersion": 1}), 500, "can't revert to current version", "revert to what is there")
    said(request("PUT", revert, {"JobID": "back", "JobVersion": 99}), 500, 'job "back" in namespace "default" at version 99 not found', "revert to an unknown version")
    said(request("PUT", revert, {"JobID": "back", "JobVersion": 0, "EnforcePriorVersion": 77}), 500, "Current job has version 1; enforcing version 77", "revert that enforces")
    said(request("PUT", revert, {"JobID": "x", "JobVersion": 0}), 400, "Job ID does not match", "revert of another job")
    said(request("PUT", revert, {"JobVersion": 0}), 400, "JobID must be specified", "revert without a job")
    said(request("PUT", "/v1/job/ghost/revert", {"JobID": "ghost", "JobVersion": 0}), 500, 'job "ghost" not found', "revert of an unknown job")
    r, data = request("PUT", revert, {"JobID": "back", "JobVersion": 0, "EnforcePriorVersion": 1})
    check(r.status == 200 and sorted(json.loads(data)) == ["EvalCreateIndex", "EvalID", "Index", "JobModifyIndex", "KnownLeader", "LastContact", "Warnings"], "revert", data)
    now = json.loads(request("GET", "/v1/job/back")[1])
    check(now["Version"] == 2 and now["Priority"] == 50 and not now["Stable"], "the older specification is the newest version", now)
    r, data = request("PUT", stable, {"JobID": "back", "JobVersion": 0, "Stable": True})
    check(r.status == 200 and sorted(json.loads(data)) == ["Index"], "stable", data)
    told = json.loads(request("GET", "/v1/job/back/versions")[1])["Versions"]
    check([v["Stable"] for v in told] == [False, False, True], "a version is stable", [v["Stable"] for v in told])
    said(request("PUT", stable, {"JobID": "back", "JobVersion": 99, "Stable": True}), 500, 'job "back" in namespace "default" at version 99 not found', "stable: an unknown version")
    said(request("PUT", stable, {"JobID": "x", "JobVersion": 0}), 400, "Job ID does not match", "stable: another job")


def scaling():
    """As recorded in 17; no scheduler runs here, so there are no deployments in the way."""
    group = {"Name": "pool", "Count": 1, "Scaling": {"Min": 1, "Max": 4, "Policy": {"cooldown": "1m", "target": 70}},
             "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}]}
    put("scaled", TaskGroups=[group])
    path = "/v1/job/scaled/scale"
    want = {"JobID": "scaled", "JobStopped": False, "Namespace": "default",
            "TaskGroups": {"pool": {"Desired": 1, "Events": None, "Healthy": 0, "Placed": 0, "Running": 0, "Unhealthy": 0}}}
    got = json.loads(request("GET", path)[1])
    check({k: got.get(k) for k in want} == want and set(got) - set(want) == {"JobCreateIndex", "JobModifyIndex"}, "scale: status", got)
    for body, text in (({"Count": 2, "Target": {"Group": "pool"}, "Error": True}, "scaling action should not contain count if error is true"),
                       ({"Count": 2}, "missing task group name for scaling action"),
                       ({"Count": 2, "Target": {"Nope": "pool"}}, "missing task group name for scaling action"),
                       ({"Count": 2, "Target": {"Job": "x", "Group": "pool"}}, "job ID in payload did not match URL"),
                       ({"Count": -1, "Target": {"Group": "pool"}}, "scaling action count can't be negative"),
                       ({"Count": 5, "Target": {"Group": "pool"}}, "group count was greater than scaling policy maximum: 5 > 4"),
                       ({"Count": 0, "Target": {"Group": "pool"}}, "group count was less than scaling policy minimum: 0 < 1"),
                       ({"Count": "2", "Target": {"Group": "pool"}}, "json: cannot unmarshal string into Go struct field ScalingRequest.Count of type int64"),
                       ({"Count": 2, "Target": {"Group": "no"}}, 'task group "no" specified for scaling does not exist in job'),
                       ({"Message": "m" * 2000, "Target": {"Group": "pool"}}, "scaling action message is too long: at most 1024 bytes"),
                       ("", "Request body is empty")):
        said(request("PUT", path, body), 400, text, f"scale: {text}")
    said(request("PUT", "/v1/job/ghost/scale", {"Count": 2, "Target": {"Group": "g"}}), 404, 'job "ghost" not found', "scale: an unknown job")
    r, data = request("PUT", path, {"Count": 3, "Target": {"Group": "pool"}, "Message": "more", "Meta": {"a": 1}})
    first = json.loads(data)
    check(r.status == 200 and sorted(first) == ["EvalCreateIndex", "EvalID", "Index", "JobModifyIndex", "KnownLeader", "LastContact", "Warnings"], "scale", data)
    check(json.loads(request("GET", f"/v1/evaluation/{first['EvalID']}")[1])["TriggeredBy"] == "job-scaling", "its evaluation")
    note = json.loads(request("POST", path, {"Target": {"Group": "pool"}, "Message": "failed to scale", "Error": True})[1])
    check(note["EvalID"] == "" and note["EvalCreateIndex"] == 0, "an event that changes nothing makes no evaluation", note)
    r, data = request("GET", path)
    pool = json.loads(data)["TaskGroups"]["pool"]
    kept = [(e["Count"], e["PreviousCount"], e["Message"], e["Error"], e["EvalID"], e["Meta"]) for e in pool["Events"]]
    check(pool["Desired"] == 3 and kept == [(None, 3, "failed to scale", True, None, None), (3, 1, "more", False, first["EvalID"], {"a": 1.0})],
          "its events, the newest first", kept)
    check(b'"a":1.0' in data and set(pool["Events"][0]) == {"Count", "CreateIndex", "Error", "EvalID", "Message", "Meta", "PreviousCount", "Time"}, "as recorded", data)
    policies = json.loads(request("GET", "/v1/scaling/policies?job=scaled")[1])
    check(len(policies) == 1 and policies[0]["Target"] == {"Namespace": "default", "Job": "scaled", "Group": "pool"} and
          set(policies[0]) == {"CreateIndex", "Enabled", "ID", "ModifyIndex", "Target", "Type"}, "scaling policies", policies)
    one = policies[0]["ID"]
    whole = json.loads(request("GET", f"/v1/scaling/policy/{one}")[1])
    check((whole["Min"], whole["Max"], whole["Policy"]) == (1, 4, {"cooldown": "1m", "target": 70.0}), "a scaling policy", whole)
    check([p["ID"] for p in json.loads(request("GET", f"/v1/scaling/policies?prefix={one[:8]}&type=horizontal")[1])] == [one], "found by a prefix")
    check(request("GET", "/v1/scaling/policies?type=vertical_cpu")[1] == b"[]", "of another type there are none")
    said(request("GET", "/v1/scaling/policy/00000000-0000-0000-0000-000000000000"), 404, "policy not found", "an unknown policy")
    put("scaled", TaskGroups=[dict(group, Count=2)])
    check(json.loads(request("GET", "/v1/scaling/policies?job=scaled")[1])[0]["ID"] == one, "a policy's id stays when its job changes")
    request("DELETE", "/v1/job/scaled?purge=true")
    check(request("GET", "/v1/scaling/policies?job=scaled")[1] == b"[]", "policies go with their job")
    r, data = request("PUT", "/v1/jobs", job("each", Type="system", Datacenters=["dc1"], TaskGroups=[group]))
    check(r.status == 400 and data == b"Task groups with job type system do not support scaling stanzas", "a system job is not scaled", data)


def keys_and_pages():
    for name, path in (("self", "/v1/agent/self"), ("members", "/v1/agent/members"), ("metrics", "/v1/metrics")):
        want, have = json.load(open(f"{DATA}/{name}.json")), json.loads(request("GET", path)[1])
        missing = set(want) - set(have)
        if name == "self":
            missing |= {f"config.{k}" for k in set(want["config"]) - set(have["config"])}
            missing |= {f"stats.{k}" for k in set(want["stats"]) - set(have["stats"])}
        if name == "members":
            missing |= set(want["Members"][0]) - set(have["Members"][0])
        check(not missing, f"{path} has the recorded keys", missing)
    text = request("GET", "/v1/metrics?format=prometheus")
    check(text[0].getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8" and b"# TYPE norn_gateway_http_requests counter" in text[1], "metrics for Prometheus")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for i in range(1300):
        c.request("PUT", "/v1/jobs", json.dumps(job(f"page-{i:04}")))
        r = c.getresponse()
        r.read()
    c.close()
    listed = [j["ID"] for j in json.loads(request("GET", "/v1/jobs?prefix=page-")[1])]
    check(listed == [f"page-{i:04}" for i in range(1300)], "a list of several pages is whole and in order", len(listed))
    paged, token = [], None
    while token is None or token:
        r, data = request("GET", "/v1/jobs?prefix=page-&per_page=400" + (f"&next_token={token}" if token else ""))
        paged.append([j["ID"] for j in json.loads(data)])
        token = r.getheader("X-Nomad-NextToken", "")
    check([len(p) for p in paged] == [400, 400, 400, 100] and sum(paged, []) == listed, "and may be asked for page by page", [len(p) for p in paged])
    check(request("GET", "/v1/jobs?per_page=many")[0].status == 400 and request("GET", "/v1/jobs?next_token=x")[0].status == 400, "of a sound size")
    r, data = request("GET", "/v1/jobs?prefix=page-&pretty")
    check(data.startswith(b"[\n    {\n        \"CreateIndex\"") and data.endswith(b"\n    }\n]\n") and len(json.loads(data)) == 1300, "pretty too")
    check(request("GET", "/v1/jobs?prefix=none&pretty")[1] == b"[]\n", "a pretty empty list", request("GET", "/v1/jobs?prefix=none&pretty")[1])
    evals = json.loads(request("GET", "/v1/evaluations")[1])
    check(len(evals) >= 1300, "evaluations of several pages")
    r, data = request("GET", f"/v1/evaluations?prefix={evals[0]['ID'][:18]}")
    check(r.status == 200 and evals[0]["ID"] in [e["ID"] for e in json.loads(data)], "evaluations by prefix")
    # a reader that goes away in the middle of a page harms nobody
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")
        s.recv(100)
        s.close()
    check(request("GET", "/v1/status/leader")[0].status == 200, "readers that leave in the middle of a list")


# ---------------------------------------------------------------- waiting reads

def documented():
    """Every route of docs/http-api.md is there, for exactly the methods it names."""
    zero = "00000000-0000-0000-0000-000000000000"
    for line in open(f"{DATA}/../../../docs/http-api.md"):
        cells = [c.strip() for c in line.split("|")]
        if len(cells) < 5 or not cells[1].startswith("`/v1"):
            continue
        for route in re.findall(r"`(/v1[^`]*)`", cells[1]):
            path = route.replace(":id", zero).replace(":alloc", zero)
            names = {"any": ["GET", "PUT", "DELETE"]}.get(cells[2], cells[2].split(", "))
            for method in names:
                r, data = request(method, path)
                check(r.status not in (405, 501) and not (r.status == 404 and data == b""), f"documented: {method} {route}", (r.status, data))
            r, _ = request("PATCH", path)
            check((r.status == 405) == (cells[2] != "any"), f"documented: no other method: {route}", r.status)


def timed(path, change=None, after=0.4):
    t = threading.Timer(after, change) if change else None
    if t:
        t.start()
    begin = time.time()
    r, data = request("GET", path)
    took = time.time() - begin
    if t:
        t.join()
    return r, data, took


def waiting():
    put("wait-a")
    i = index_of("/v1/job/wait-a")
    r, _, took = timed(f"/v1/job/wait-a?index={i}&wait=500ms")
    check(0.45 <= took < 3 and int(r.getheader("X-Nomad-Index")) == i, "the same index waits for its time", took)
    check(timed(f"/v1/job/wait-a?index={i - 1}&wait=20s")[2] < 5, "an older one does not wait")
    check(timed(f"/v1/job/wait-a?wait=20s")[2] < 5, "without an index it does not wait")
    r, data, took = timed(f"/v1/job/wait-a?index={i}&wait=20s", lambda: put("wait-a", Priority=60))
    check(0.3 < took < 10 and json.loads(data)["Priority"] == 60 and int(r.getheader("X-Nomad-Index")) > i, "a change of the job releases it", took)
    i = index_of("/v1/job/wait-a")
    check(timed(f"/v1/job/wait-a?index={i}&wait=1s", lambda: put("wait-b"))[2] >= 0.95, "another job does not")
    i = index_of("/v1/jobs")
    check(timed(f"/v1/jobs?index={i}&wait=20s", lambda: put("wait-c"))[2] < 10, "a list is released by a new job")
    i = index_of("/v1/jobs")
    check(timed(f"/v1/jobs?prefix=zzz&index={i}&wait=1s", lambda: put("wait-d"))[2] >= 0.95, "not by one outside its prefix")
    i = index_of("/v1/job/wait-new")
    r, _, took = timed(f"/v1/job/wait-new?index={i}&wait=20s", lambda: put("wait-new"))
    check(r.status == 200 and took < 10, "a job that is yet to come can be waited for", took)
    i = index_of("/v1/job/wait-new")
    r, _, took = timed(f"/v1/job/wait-new?index={i}&wait=20s", lambda: request("DELETE", "/v1/job/wait-new?purge=true"))
    check(r.status == 404 and took < 10, "and its end", took)
    i = index_of("/v1/evaluations")
    check(timed(f"/v1/evaluations?index={i}&wait=20s", lambda: put("wait-e"))[2] < 10, "evaluations too")
    r, _, took = timed("/v1/jobs?index=99999999&wait=500ms")
    check(took >= 0.45 and int(r.getheader("X-Nomad-Index")) < 99999999, "an index of the future waits, then gets the present one", took)
    open_before = gauge("norn.gateway.waiting")
    gone = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for s in gone:
        s.sendall(b"GET /v1/jobs?index=99999999 HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: gauge("norn.gateway.waiting") >= open_before + 50, "fifty wait")
    for s in gone:
        s.close()
    wait_until(lambda: gauge("norn.gateway.waiting") <= open_before, "those who leave are noticed")
    check(gauge("norn.gateway.waiting") <= open_before, "those who leave while waiting are noticed")


def gauge(name):
    return next(g["Value"] for g in json.loads(request("GET", "/v1/metrics")[1])["Gauges"] if g["Name"] == name)


# ---------------------------------------------------------------- what clients do wrong

def raw(data, timeout=5.0):
    s = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    answer = b""
    try:
        s.sendall(data)
        while True:
            part = s.recv(65536)
            if not part:
                break
            answer += part
            if b"\r\n\r\n" in answer and b"Content-Length: 0" in answer:
                break
    except (socket.timeout, ConnectionError):
        pass
    s.close()
    return answer


def abuse():
    r, data = request("PUT", "/v1/jobs", b"x" * (1 << 20) + b"y")
    check(r.status == 413, "a body beyond the limit is 413", (r.status, data))
    big = b"%x\r\n" % (1 << 16) + b"z" * (1 << 16) + b"\r\n"
    a = raw(b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + big * 20 + b"0\r\n\r\n")
    check(b" 413 " in a, "a chunked one too", a[:200])
    body = json.dumps(job("chunked")).encode()
    a = raw(b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
    check(a.startswith(b"HTTP/1.1 200"), "a chunked body is read", a[:200])
    a = raw(b"GET /v1/status/leader HTTP/1.0\r\n\r\n")
    check(b" 200 " in a.split(b"\r\n")[0] and b"Transfer-Encoding" not in a, "HTTP/1.0", a[:300])
    a = raw(b"GET /v1/regions HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /v1/regions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check(a.count(b'["global"]') == 4, "requests in a row on one connection", a)
    for name, bad in (("a NUL in the path", b"GET /v1/job/a%00b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                      ("a broken escape", b"GET /v1/job/a%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                      ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
                      ("a head without end", b"GET /v1/jobs HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n")):
        a = raw(bad, 2.0)
        check(a == b"" or a.split(b" ")[1][:1] == b"4", name, a[:200])
    r, data = request("PUT", "/v1/jobs", b'{"Job":{"ID":"a\\u0000b"}}')
    check(r.status == 400, "a NUL in a name is refused", (r.status, data))
    r, data = request("PUT", "/v1/jobs", b'{"Job":{"ID":' + b"[" * 100000)
    check(r.status == 400, "deep nesting is refused", (r.status, data[:200]))
    r, data = request("PUT", "/v1/jobs", b'{"Job":{"ID":"x","TaskGroups":[' + b"{}," * 300000 + b"{}]}}")
    check(r.status in (400, 413, 500), "a small body that would become a large job is refused", (r.status, data[:200]))
    r, data = request("PUT", "/v1/jobs", job("n" * 500000))
    check(r.status in (400, 500), "a name of half a megabyte is refused", (r.status, data[:200]))
    before = index_of("/v1/jobs")
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
    for s in silent[::2]:
        s.sendall(b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    check(request("GET", "/v1/status/leader")[0].status == 200, "more silent connections than there may be do not keep others out")
    for s in silent:
        s.close()
    wait_until(lambda: gauge("norn.gateway.http.connections") < 50, "they are closed here too")
    for i in range(500):
        s = socket.create_connection(("127.0.0.1", port))
        if i % 3 == 1:
            s.sendall(b"GET /v1/jo")
        if i % 3 == 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            s.sendall(b"GET /v1/jo")
        s.close()
    wait_until(lambda: gauge("norn.gateway.http.connections") < 50, "who hung up behind half a request is noticed")
    check(index_of("/v1/jobs") == before, "none of it changed the state")
    put("after-abuse")
    check(True, "and it still works")


# ---------------------------------------------------------------- a jobstore that goes and comes

def jobstore_goes():
    global store
    put("kept")
    i = index_of("/v1/job/kept")
    store.send_signal(signal.SIGKILL)
    store.wait()
    begin = time.time()
    r, data = request("GET", "/v1/job/kept", timeout=30)
    check(r.status == 500 and time.time() - begin < 12, "without jobstore a read fails in time", (r.status, data))
    r, data = request("GET", "/v1/agent/health")
    check(r.status == 500 and json.loads(data)["server"]["ok"] is False, "and health says so", data)
    released = []
    waiter = threading.Thread(target=lambda: released.append(request("GET", f"/v1/job/kept?index={i}&wait=60s", timeout=90)))
    store = start_jobstore()
    wait_until(lambda: request("GET", "/v1/job/kept", timeout=30)[0].status == 200, "jobstore is back")
    waiter.start()
    time.sleep(0.3)
    check(json.loads(request("GET", "/v1/job/kept")[1])["ID"] == "kept", "what was acknowledged is there")
    store.send_signal(signal.SIGKILL)
    store.wait()
    store = start_jobstore()
    wait_until(lambda: request("GET", "/v1/job/kept", timeout=30)[0].status == 200, "and again")
    put("kept", Priority=80)
    waiter.join(60)
    check(len(released) == 1 and (released[0][0].status == 500 or json.loads(released[0][1])["Priority"] == 80),
          "a reader that waited across the restart is released", [r[1][:100] for r in released])


# ---------------------------------------------------------------- with a node that runs things

def idle():
    """Connections that are closed because they say nothing, while somebody asks how many there are. What is freed is filled
    with rubbish, so that who still looks at it stumbles."""
    global gateway, port
    env = dict(os.environ, MALLOC_PERTURB_="85")
    env["ASAN_OPTIONS"] = ":".join([*filter(None, [env.get("ASAN_OPTIONS")]), "max_free_fill_size=4096", "free_fill_byte=85"])
    gateway, port = start_gateway("--idle-ms", "1ms", env=env)
    end = time.time() + 4

    def stay(path):
        s = socket.create_connection(("127.0.0.1", port), timeout=20)
        s.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        while s.recv(65536):
            pass
        s.close()

    def ask():
        while time.time() < end:
            request("GET", "/v1/metrics", headers={"Connection": "close"})

    with concurrent.futures.ThreadPoolExecutor(64) as threads:
        all_of = [threads.submit(ask) for _ in range(3)]
        while time.time() < end:
            all_of += [threads.submit(stay, path) for path in (b"/v1/regions", b"/v1/metrics") * 9]
            time.sleep(0.3)
        failed = [f.exception() for f in all_of if f.exception() is not None]
    check(not failed and gateway.poll() is None, "idle connections are closed, and nobody stumbles over them", failed)


def same_keys(want, have, without, path):
    """Keys of `want` that `have` lacks, through nested objects; maps of the user's keys are compared by their first entry."""
    if isinstance(want, dict) and isinstance(have, dict):
        if path.split(".")[-1] in ("Tasks", "TaskStates", "TaskLifecycles", "TaskResources", "Attributes", "Meta", "Drivers",
                                   "HostVolumes", "Env", "Config", "Scores", "Details", "NodesAvailable", "Links"):
            pairs = list(zip(want.values(), have.values()))[:1]
            return [m for a, b in pairs for m in same_keys(a, b, without, path + ".*")]
        missing = [f"{path}.{k}" for k in want if k not in have and k not in without]
        return missing + [m for k in want if k in have for m in same_keys(want[k], have[k], without, f"{path}.{k}")]
    if isinstance(want, list) and isinstance(have, list) and want and have:
        return same_keys(want[0], have[0], without, path + "[0]")
    if want is None or have is None or isinstance(want, (list, dict)) or isinstance(want, bool) == isinstance(have, bool):
        return []
    return [f"{path}: {have!r} is not of the type of {want!r}"]


def running():
    global port
    start("nctl", "dev", "--http-port", "0")
    said = lambda: open(f"{run}/nctl.log").read()
    wait_until(lambda: "\nready " in said(), "the suite is up", 30)
    port = int(re.search(r"http://127.0.0.1:(\d+)", said()).group(1))
    script = "i=0; while true; do i=$((i+1)); echo line $i; echo problem $i 1>&2; sleep 0.2; done"
    spec = {"Job": {"ID": "web", "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [
        {"Name": "front", "Count": 2, "EphemeralDisk": {"SizeMB": 150}, "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
         "Tasks": [{"Name": "server", "Driver": "raw_exec", "KillTimeout": 1000000000,
                    "Config": {"command": "/bin/sh", "args": ["-c", script]}, "Resources": {"CPU": 20, "MemoryMB": 16}}]}]}}
    r, data = request("PUT", "/v1/jobs", spec)
    check(r.status == 200, "a service is registered", data)
    wait_until(lambda: [a["ClientStatus"] for a in json.loads(request("GET", "/v1/job/web/allocations")[1])] == ["running"] * 2, "it runs", 30)
    stubs = json.loads(request("GET", "/v1/allocations?resources=true")[1])
    missing = same_keys(json.load(open(f"{DATA}/alloc-stub.json")), stubs[0], (), "stub")
    check(not missing, "a stub of an allocation has what Nomad's has", missing)
    check(sorted(a["Name"] for a in stubs) == ["web.front[0]", "web.front[1]"] and {a["JobType"] for a in stubs} == {"service"}, "names and types", stubs)
    one = stubs[0]["ID"]
    whole = json.loads(request("GET", f"/v1/allocation/{one}")[1])
    missing = same_keys(json.load(open(f"{DATA}/alloc.json")), whole, ("DeploymentID", "DeploymentStatus", "PreviousAllocation"), "alloc")
    check(not missing, "an allocation has what Nomad's has", missing)
    shared = whole["AllocatedResources"]["Shared"]
    check(shared["Ports"][0]["Label"] == "http" and 20000 <= shared["Ports"][0]["Value"] <= 32000
          and shared["Networks"][0]["DynamicPorts"][0]["Value"] == shared["Ports"][0]["Value"], "its port", shared)
    check(whole["Metrics"]["NodesEvaluated"] == 1 and whole["Job"]["ID"] == "web", "its metrics and its job")
    node = json.loads(request("GET", "/v1/nodes?resources=true")[1])[0]
    missing = same_keys(json.load(open(f"{DATA}/node-stub.json")), node, (), "node")
    check(not missing, "a stub of a node has what Nomad's has", missing)
    missing = same_keys(json.load(open(f"{DATA}/node.json")), json.loads(request("GET", f"/v1/node/{node['ID']}")[1]), (), "node")
    check(not missing, "a node has what Nomad's has", missing)
    r, data = request("PUT", f"/v1/node/{node['ID']}/evaluate")
    recorded_keys = ["EvalCreateIndex", "EvalIDs", "Features", "HeartbeatTTL", "Index", "KnownLeader", "LastContact", "LeaderRPCAddr", "NodeModifyIndex", "NumNodes", "Servers"]
    check(r.status == 200 and sorted(json.loads(data)) == recorded_keys and len(json.loads(data)["EvalIDs"]) >= 1, "a node is looked at again", data)
    for verb in ("evaluate", "purge"):
        r, data = request("PUT", f"/v1/node/00000000-0000-0000-0000-000000000000/{verb}")
        check((r.status, data) == (500, b"node not found"), f"{verb} of an unknown node", (r.status, data))
    check(whole["NodeName"] == node["Name"] and whole["NodeID"] == node["ID"], "the allocation names its node")
    on_node = json.loads(request("GET", f"/v1/node/{node['ID']}/allocations")[1])
    check(len(on_node) == 2 and all(a["Job"]["ID"] == "web" for a in on_node), "a node's allocations are whole")
    health = json.loads(request("GET", "/v1/agent/health")[1])
    check(health == {"client": {"message": "ok", "ok": True}, "server": {"message": "ok", "ok": True}}, "health", health)
    planned(spec)
    deployments()
    files(one)
    follow(one)
    i = index_of(f"/v1/allocation/{one}")
    r, data, took = timed(f"/v1/allocation/{one}?index={i}&wait=30s", lambda: request("DELETE", "/v1/job/web"))
    check(json.loads(data)["DesiredStatus"] == "stop" and took < 20, "an allocation's watcher hears that it is to stop", took)
    wait_until(lambda: {a["ClientStatus"] for a in json.loads(request("GET", "/v1/job/web/allocations")[1])} == {"complete"}, "all stop", 30)
    r, data = request("GET", f"/v1/client/fs/logs/{one}?task=server&type=stdout&plain=true&origin=end&offset=5")
    check(r.status == 200 and len(data) == 5, "logs of what has ended", data)


def deployments():
    """One job from its first version over canaries, promotion and failure; as recorded in 07."""
    def spec(version, **update):
        return {"Job": {"ID": "canary", "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [
            {"Name": "api", "Count": 2, "EphemeralDisk": {"SizeMB": 150},
             "Update": {"MaxParallel": 2, "HealthCheck": "task_states", "MinHealthyTime": 100000000, "HealthyDeadline": 60000000000,
                        "ProgressDeadline": 120000000000, **update},
             "Tasks": [{"Name": "t", "Driver": "raw_exec", "KillTimeout": 1000000000, "Env": {"V": str(version)},
                        "Config": {"command": "/bin/sleep", "args": ["3600"]}, "Resources": {"CPU": 20, "MemoryMB": 16}}]}]}}

    def latest():
        return json.loads(request("GET", "/v1/job/canary/deployment")[1])

    def until(version, status, healthy):
        wait_until(lambda: (latest() or {"JobVersion": -1})["JobVersion"] == version and latest()["Status"] == status and
                   latest()["TaskGroups"]["api"]["HealthyAllocs"] == healthy, f"deployment of version {version}: {status}", 60)
        return latest()

    r, data = request("PUT", "/v1/jobs", spec(0))
    check(r.status == 200, "a job with an update strategy", data)
    first = until(0, "successful", 2)
    check(first["StatusDescription"] == "Deployment completed successfully" and
          set(first) == {"CreateIndex", "ID", "IsMultiregion", "JobCreateIndex", "JobID", "JobModifyIndex", "JobSpecModifyIndex",
                         "JobVersion", "ModifyIndex", "Namespace", "Status", "StatusDescription", "TaskGroups"}, "a deployment has what Nomad's has", first)
    check(set(first["TaskGroups"]["api"]) == {"AutoPromote", "AutoRevert", "DesiredCanaries", "DesiredTotal", "HealthyAllocs", "PlacedAllocs",
                                              "PlacedCanaries", "ProgressDeadline", "Promoted", "RequireProgressBy", "UnhealthyAllocs"}, "and so its groups", first)
    check(json.loads(request("GET", "/v1/job/canary/versions")[1])["Versions"][0]["Stable"], "its version is stable")
    done = f"/v1/deployment/{{}}/{first['ID']}"
    me = {"DeploymentID": first["ID"]}
    said(request("PUT", done.format("promote"), {**me, "All": True}), 500, "can't promote terminal deployment", "promote what has ended")
    said(request("PUT", done.format("pause"), {**me, "Pause": True}), 500, "can't pause terminal deployment", "pause what has ended")
    said(request("PUT", done.format("fail")), 500, "can't fail terminal deployment", "fail what has ended")
    said(request("PUT", done.format("unblock"), me), 500, "can't unblock terminal deployment", "unblock what has ended")
    said(request("GET", done.format("fail")), 405, "Invalid method", "these are writes")
    said(request("GET", done.format("bogus")), 500, "deployment lookup failed: index error: UUID must be 36 characters", "no such verb")
    ghost = "00000000-0000-0000-0000-000000000000"
    said(request("PUT", f"/v1/deployment/promote/{ghost}", {"DeploymentID": ghost, "All": True}), 500, "deployment not found", "promote an unknown one")
    said(request("GET", f"/v1/deployment/{ghost}"), 404, "deployment not found", "an unknown one")
    check(request("GET", f"/v1/deployment/allocations/{ghost}")[1] == b"[]", "allocations of an unknown one")
    said(request("GET", "/v1/deployments?prefix=zz"), 500, "index error: Invalid UUID: encoding/hex: invalid byte: U+007A 'z'", "a prefix that is no id's")

    request("PUT", "/v1/jobs", spec(1, Canary=1))
    second = until(1, "running", 1)
    i, path = int(request("GET", f"/v1/deployment/{second['ID']}")[0].getheader("X-Nomad-Index")), f"/v1/deployment/{{}}/{second['ID']}"
    canary = second["TaskGroups"]["api"]["PlacedCanaries"]
    check(len(canary) == 1 and second["TaskGroups"]["api"]["DesiredCanaries"] == 1 and
          second["StatusDescription"] == "Deployment is running but requires manual promotion", "its canary waits", second)
    own = json.loads(request("GET", path.format("allocations"))[1])
    check([a["ID"] for a in own] == canary and own[0]["DeploymentStatus"]["Canary"] and own[0]["DeploymentStatus"]["Healthy"], "the deployment's allocations", own)
    check(json.loads(request("GET", f"/v1/allocation/{canary[0]}")[1])["DeploymentID"] == second["ID"], "an allocation names its deployment")
    me = {"DeploymentID": second["ID"]}
    said(request("PUT", "/v1/job/canary/scale", {"Count": 3, "Target": {"Group": "api"}, "Message": "why"}), 400,
         "job scaling blocked due to active deployment", "no scaling while it runs")
    event = json.loads(request("GET", "/v1/job/canary/scale")[1])["TaskGroups"]["api"]["Events"][0]
    check(event["Error"] and event["Meta"] == {"OriginalCount": 3.0, "OriginalMessage": "why"}, "and an event says so", event)
    said(request("PUT", path.format("pause"), {"DeploymentID": first["ID"], "Pause": True}), 400, "Deployment ID does not match", "another one than the path's")
    said(request("PUT", path.format("allocation-health"), me), 500, "must specify at least one healthy/unhealthy allocation ID", "health of none")
    r, data, took = timed(f"/v1/deployment/{second['ID']}?index={i}&wait=30s", lambda: request("PUT", path.format("pause"), {**me, "Pause": True}))
    check(json.loads(data)["Status"] == "paused" and took < 25, "who waits for a deployment hears of its pause", (took, data))
    r, data = request("PUT", path.format("pause"), {**me, "Pause": False})
    resumed = json.loads(data)
    check(r.status == 200 and set(resumed) == {"DeploymentModifyIndex", "EvalCreateIndex", "EvalID", "Index", "RevertedJobVersion"} and resumed["EvalID"] != "",
          "it goes on, with an evaluation", data)
    r, data = request("PUT", path.format("promote"), {**me, "All": True})
    check(r.status == 200 and json.loads(data)["RevertedJobVersion"] is None, "promotion", data)
    until(1, "successful", 2)

    request("PUT", "/v1/jobs", spec(2, Canary=1, AutoRevert=True))
    third = until(2, "running", 1)
    r, data = request("PUT", f"/v1/deployment/fail/{third['ID']}", {"DeploymentID": third["ID"]})
    check(r.status == 200 and json.loads(data)["RevertedJobVersion"] == 1, "a failure takes the job back", data)
    failed = json.loads(request("GET", f"/v1/deployment/{third['ID']}")[1])
    check(failed["Status"] == "failed" and failed["StatusDescription"] == "Deployment marked as failed - rolling back to job version 1", "and says so", failed)
    every = json.loads(request("GET", "/v1/job/canary/deployments?all=true")[1])
    check([d["JobVersion"] for d in every][:3] == [0, 1, 2] and {d["ID"] for d in json.loads(request("GET", f"/v1/deployments?prefix={third['ID']}")[1])} == {third["ID"]},
          "lists of deployments", every)
    until(3, "successful", 2)
    wanted = [a for a in json.loads(request("GET", "/v1/job/canary/allocations")[1]) if a["DesiredStatus"] == "run"]
    r, data = request("PUT", f"/v1/allocation/{wanted[0]['ID']}/stop")
    check(r.status == 200 and set(json.loads(data)) == {"EvalID", "Index"}, "an allocation is stopped", data)
    whole = lambda: json.loads(request("GET", f"/v1/allocation/{wanted[0]['ID']}")[1])
    wait_until(lambda: whole().get("NextAllocation"), "another one takes its place", 30)
    check(whole()["DesiredStatus"] == "stop" and whole()["DesiredDescription"] == "alloc is being migrated" and whole()["DesiredTransition"]["Migrate"], "as recorded", whole())
    said(request("PUT", f"/v1/allocation/{ghost}/stop"), 404, "allocation not found", "stop of an unknown one")
    request("DELETE", "/v1/job/canary")


def planned(spec):
    """A plan, and why: as recorded where Nomad has it; nothing is changed."""
    before = json.loads(request("GET", "/v1/jobs")[1])
    evals = len(json.loads(request("GET", "/v1/evaluations")[1]))
    r, data = request("PUT", "/v1/job/web/plan", dict(spec, Diff=False))
    plan = json.loads(data)
    check(r.status == 200 and plan["Annotations"]["DesiredTGUpdates"]["front"]["Ignore"] == 2 and plan["FailedTGAllocs"] is None
          and plan["CreatedEvals"] is None and plan["JobModifyIndex"] == before[0]["JobModifyIndex"], "a plan of what is there", data)
    large = json.loads(json.dumps(spec))
    large["Job"]["TaskGroups"][0]["Tasks"][0]["Resources"]["MemoryMB"] = 900000
    r, data = request("POST", "/v1/job/web/plan", dict(large, Diff=False))
    plan = json.loads(data)
    missing = same_keys(json.load(open(f"{DATA}/plan.json")), plan, ("front", "v1:10588138479801839499", "ResourcesExhausted"), "plan")
    check(r.status == 200 and not missing, "a plan that fails has what Nomad's has", (missing, data))
    check(plan["FailedTGAllocs"]["front"]["DimensionExhausted"] == {"memory": 1}, "and says what is missing", data)
    r, data = request("GET", "/v1/job/web/why")
    group = json.loads(data)["Groups"][0]
    check(r.status == 200 and group["Staying"] == 2 and group["Metrics"]["ScoreMetaData"][0]["Scores"]["binpack"] > 0, "why a job is as it is", data)
    check(request("GET", "/v1/job/ghost/why")[0].status == 404, "why of a job that is not there")
    check(json.loads(request("GET", "/v1/jobs")[1]) == before and len(json.loads(request("GET", "/v1/evaluations")[1])) == evals,
          "neither changes anything")


def files(one):
    fs = f"/v1/client/fs"
    r, data = request("GET", f"{fs}/ls/{one}?path=/")
    check({f["Name"] for f in json.loads(data)} == {"alloc", "server"} and set(json.loads(data)[0]) == {"FileMode", "IsDir", "ModTime", "Name", "Size"}, "ls", data)
    r, data = request("GET", f"{fs}/stat/{one}?path=alloc/logs/server.stdout.0")
    check(json.loads(data)["ContentType"].startswith("text/plain") and not json.loads(data)["IsDir"], "stat", data)
    wait_until(lambda: request("GET", f"{fs}/cat/{one}?path=alloc/logs/server.stdout.0")[1].count(b"\n") > 2, "some lines")
    r, data = request("GET", f"{fs}/cat/{one}?path=alloc/logs/server.stdout.0")
    check(data.startswith(b"line 1\nline 2\n") and r.getheader("X-Content-Type-Options") == "nosniff", "cat", data[:100])
    r, data = request("GET", f"{fs}/readat/{one}?path=alloc/logs/server.stdout.0&offset=2&limit=4")
    check(data == b"ne 1", "readat", data)
    for op, path, status, text in (("ls", "nope", 500, b"no such file"), ("stat", "../..", 500, b"Path escapes the alloc directory"),
                                   ("cat", "nope", 200, b"no such file"), ("cat", "alloc", 200, b'file "alloc" is a directory'),
                                   ("stream", "nope", 400, b"no such file"), ("stream", "alloc", 400, b'file "alloc" is a directory')):
        r, data = request("GET", f"{fs}/{op}/{one}?path={path}")
        check(r.status == status and text in data, f"{op} of {path}", (r.status, data))
    r, data = request("GET", f"{fs}/logs/{one}?task=nope&type=stdout")
    check(r.status == 400 and data == b'unknown task name "nope"', "logs of an unknown task", data)
    r, data = request("GET", f"{fs}/logs/{one}?task=server&type=stderr&follow=false")
    frame, _ = json.JSONDecoder().raw_decode(data.decode())  # what was written in two goes may be two of them
    check(set(frame) == {"Data", "File", "Offset"} and frame["File"] == "alloc/logs/server.stderr.0", "a frame", data[:200])


def follow(one):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("GET", f"/v1/client/fs/logs/{one}?task=server&type=stdout&follow=true")
    r, text, begin = c.getresponse(), b"", time.time()
    while time.time() - begin < 2.5:
        text += r.read1(65536)
    r.close()
    c.close()
    check(text.count(b'{"Data"') >= 5 and text.count(b"{}") >= 2, "followed logs come as they are written, with a heartbeat each second", text[-300:])
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("GET", f"/v1/client/fs/logs/{one}?task=server&type=stdout&follow=true&plain=true&origin=end&offset=3")
    r = c.getresponse()
    check(r.getheader("Content-Type") == "text/plain" and len(r.read1(65536)) >= 3, "plain too")
    r.close()
    c.close()
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(f"GET /v1/client/fs/logs/{one}?task=server&type=stdout&follow=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        s.recv(200)
        s.close()
    wait_until(lambda: gauge("norn.gateway.agents.readers") == 0, "readers that left are noticed")
    check(gauge("norn.gateway.agents.readers") == 0, "those who leave while following are noticed")


try:
    store = start_jobstore()
    gateway, port = start_gateway()
    wait_until(lambda: request("GET", "/v1/jobs", timeout=30)[0].status == 200, "ready")
    wait_until(lambda: request("GET", "/v1/status/leader")[0].status == 200, "gateway has heard who leads")
    recorded()
    recorded_namespaces()
    node_pools()
    recorded_periodic()
    recorded_dispatch()
    held()
    documented()
    jobs()
    versions()
    scaling()
    keys_and_pages()
    waiting()
    abuse()
    jobstore_goes()
    gateway.send_signal(signal.SIGTERM)
    check(gateway.wait(15) == 0, "TERM ends it with 0", gateway.returncode)
    idle()
    gateway.send_signal(signal.SIGTERM)
    check(gateway.wait(15) == 0, "TERM ends this one, too", gateway.returncode)
    running()
finally:
    for p in children:
        if p.poll() is None:
            p.send_signal(signal.SIGINT)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
    if failures:
        print(open(f"{run}/gateway.log").read()[-3000:], file=sys.stderr)
    shutil.rmtree(run, ignore_errors=True)
print(f"1..{checks}")
sys.exit(1 if failures else 0)
