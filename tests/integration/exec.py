#!/usr/bin/env python3
"""`nctl alloc exec` at a terminal, and the websocket behind it, frame by frame as Nomad 1.1.0 was recorded.
usage: exec.py ALLOCATION, of whose tasks one is called plain; NORN_ADDR and NCTL in the environment"""
import base64, fcntl, json, os, pty, re, select, signal, socket, struct, sys, termios, time, urllib.parse

ID, NCTL = sys.argv[1], os.environ['NCTL']
HOST, PORT = re.fullmatch(r'http://(.*):(\d+)', os.environ['NORN_ADDR']).groups()
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
DEADLINE = 60


def fail(what, detail=''):
    print(f'FAILED: {what} {detail}', file=sys.stderr)
    raise SystemExit(1)


# ---- a terminal

class Terminal:
    def __init__(self, *words, rows, columns):
        self.text = ''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.wait_for_size(rows, columns)
            os.execv(NCTL, [NCTL, 'alloc', 'exec', *words])
        self.resize(rows, columns)

    @staticmethod
    def wait_for_size(rows, columns):
        while struct.unpack('HHHH', fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))[:2] != (rows, columns):
            time.sleep(0.005)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, what):
        end = time.time() + DEADLINE
        while not re.search(what, self.text):
            if time.time() > end or not select.select([self.fd], [], [], max(0, end - time.time()))[0]:
                fail(f'at the terminal: no {what!r} in', repr(self.text))
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b''
            if not data:
                fail(f'the terminal ended without {what!r}:', repr(self.text))
            self.text += data.decode(errors='replace')

    def end(self):
        end = time.time() + DEADLINE
        while time.time() < end:
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    self.text += os.read(self.fd, 4096).decode(errors='replace')
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        fail('nctl does not end at the terminal:', repr(self.text))


def at_a_terminal():
    t = Terminal('-it', '-task', 'plain', ID, 'sh', '-c', 'until stty size | grep -q "^40 "; do sleep 0.05; done; stty size; echo kind $TERM; stty -echo; read a; stty size; read b; exit 3', rows=40, columns=120)
    t.read_until(r'40 120\r\nkind xterm')
    t.resize(24, 81)
    # the new size comes by another way than what is typed: ask until it is there
    t.type('x\r')
    t.read_until(r'kind xterm\r\n[^$]*\d+ \d+\r\n')
    t.type('x\r')
    if (code := t.end()) != 3:
        fail('exit code at a terminal:', code)
    t = Terminal('-task', 'plain', ID, 'sh', '-c', 'trap "echo resized $(tty)" WINCH; echo ready; while :; do sleep 0.05; done', rows=30, columns=90)
    t.read_until('ready')
    t.resize(31, 91)
    t.read_until(r'resized /dev/pts/\d+')
    t.type('\r~.')
    if (code := t.end()) != 1:
        fail('exit code after the escape:', code)
    t = Terminal('-task', 'plain', ID, 'sh', '-c', 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.05; done', rows=30, columns=90)
    t.read_until('ready')
    t.type('\x03')
    t.read_until('caught')
    if (code := t.end()) != 5:
        fail('exit code after ^C:', code)


# ---- the wire

class Answer:
    pass


def get(query, upgrade=True, alloc=ID):
    s = socket.create_connection((HOST, PORT), timeout=DEADLINE)
    extra = f'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n' if upgrade else ''
    s.sendall(f'GET /v1/client/allocation/{alloc}/exec?{query} HTTP/1.1\r\nHost: {HOST}\r\n{extra}\r\n'.encode())
    a = Answer()
    a.socket, a.rest = s, b''
    while b'\r\n\r\n' not in a.rest:
        data = s.recv(4096)
        if not data:
            fail('the connection ended before an answer to', query)
        a.rest += data
    head, a.rest = a.rest.split(b'\r\n\r\n', 1)
    lines = head.decode().split('\r\n')
    a.status = int(lines[0].split()[1])
    a.headers = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:])}
    if a.status != 101:
        wanted = int(a.headers.get('content-length', 0))
        while len(a.rest) < wanted:
            a.rest += s.recv(4096)
        a.body = a.rest[:wanted].decode()
    return a


def send(a, payload, opcode=1, final=True):
    data, mask = payload if isinstance(payload, bytes) else payload.encode(), b'\x01\x02\x03\x04'
    head = bytes([(0x80 if final else 0) | opcode])
    head += bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xfe]) + struct.pack('>H', len(data))
    a.socket.sendall(head + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(data)))


def receive(a):
    """(opcode, payload) of the next frame; None at the end"""
    def need(n):
        while len(a.rest) < n:
            data = a.socket.recv(65536)
            if not data:
                return False
            a.rest += data
        return True
    if not need(2):
        return None
    length, at = a.rest[1] & 0x7f, 2
    if a.rest[1] & 0x80:
        fail('the server masks its frames')
    if length > 125:
        size = 2 if length == 126 else 8
        if not need(2 + size):
            return None
        length, at = int.from_bytes(a.rest[2:2 + size], 'big'), 2 + size
    if not need(at + length):
        return None
    opcode, payload, a.rest = a.rest[0] & 0x0f, a.rest[at:at + length], a.rest[at + length:]
    return opcode, payload


def frames(a):
    """all to the end: JSON messages as they are, then (code, reason)"""
    seen = []
    while (f := receive(a)) is not None:
        if f[0] == 8:
            seen.append((int.from_bytes(f[1][:2], 'big'), f[1][2:].decode()))
        elif f[0] == 1:
            seen.append(f[1].decode())
    a.socket.close()
    return seen


def query(command, **more):
    return urllib.parse.urlencode({'task': 'plain', 'tty': 'false', 'command': command if isinstance(command, str) else json.dumps(command), **more})


def expect(what, seen, want):
    if seen != want:
        fail(f'{what}: {seen} instead of', want)


DONE = ['{"stderr":{"close":true}}', '{"stdout":{"close":true}}']


def joined(seen):
    """data of the same stream may come in several pieces"""
    out = []
    for f in seen:
        m = json.loads(f) if isinstance(f, str) else f
        for name in ('stdout', 'stderr'):
            if isinstance(m, dict) and 'data' in m.get(name, {}):
                data = base64.b64decode(m[name]['data'])
                if out and isinstance(out[-1], tuple) and out[-1][0] == name:
                    data = out.pop()[1] + data
                out.append((name, data))
                break
        else:
            out.append(f)
    return out


def over_the_wire():
    a = get(query(['/bin/echo', 'hello'], region='global'))
    expect('handshake', [a.status, a.headers.get('upgrade'), a.headers.get('sec-websocket-accept')], [101, 'websocket', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='])
    send(a, '{"stdin":{"close":true}}\n')
    expect('echo', frames(a), ['{"stdout":{"data":"aGVsbG8K"}}', *DONE, '{"exited":true,"result":{}}', (1000, '')])
    a = get(query(['/bin/sh', '-c', 'exit 7']))
    expect('exit', frames(a), [*DONE, '{"exited":true,"result":{"exit_code":7}}', (1000, '')])
    a = get(query(['/bin/sh', '-c', 'exit 3'], tty='true'))
    expect('exit at a terminal', frames(a), [DONE[1], '{"exited":true,"result":{"exit_code":3}}', (1000, '')])
    a = get(query(['/bin/cat']))
    send(a, '{"stdin":{"da', final=False)
    send(a, 'pi', opcode=9)  # a ping between two fragments
    send(a, 'ta":"YWJj"}}', opcode=0)
    pong = receive(a)
    while pong[0] == 1:
        pong = receive(a)
    expect('pong', pong, (10, b'pi'))
    send(a, '{}')
    send(a, '{"stdin":{"close":true}}')
    seen = joined(frames(a))
    if seen[0] != ('stdout', b'abc'):  # it may have come before the pong
        seen.insert(0, ('stdout', b'abc'))
    expect('cat', seen, [('stdout', b'abc'), *DONE, '{"exited":true,"result":{}}', (1000, '')])
    a = get(query(['/bin/echo', 'hs'], ws_handshake='true'))
    send(a, '{"version":1,"auth_token":""}')
    expect('a browser', frames(a), ['{"stdout":{"data":"aHMK"}}', *DONE, '{"exited":true,"result":{}}', (1000, '')])
    a = get(query(['/bin/echo', 'hs'], ws_handshake='true'))
    send(a, '{"version":9,"auth_token":""}')
    expect('a browser of the future', frames(a), [(1008, 'unexpected handshake value: 9')])
    a = get(query(['/bin/cat']))
    send(a, '{bad')
    expect('no JSON', [f[0] for f in frames(a)], [1007])
    a = get(query(['/bin/cat']))
    a.socket.sendall(b'\x81\x05hello')  # not masked
    expect('no mask', [f[0] for f in frames(a)], [1002])
    for what, seen, want in [
        ('no task', get('tty=false&command=%5B%22%2Fbin%2Ftrue%22%5D'), (1008, 'must provide task name')),
        ('unknown task', get(query(['/bin/true'], task='nope')), (1011, 'task not found')),
        ('unknown allocation', get(query(['/bin/true']), alloc='00000000-0000-0000-0000-000000000000'),
         (1008, 'Unknown allocation "00000000-0000-0000-0000-000000000000"')),
        ('no such program', get(query(['/no/such/cmd'])),
         (1011, 'rpc error: code = Unknown desc = failed to start command: fork/exec /no/such/cmd: no such file or directory')),
    ]:
        expect(what, frames(seen), [want])
    for what, a, status, text in [
        ('no upgrade', get(query(['/bin/true']), upgrade=False), 400,
         "Bad Request\nfailed to upgrade connection: websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header"),
        ('no command', get('task=plain&tty=false'), 500, 'failed to marshal command into json: unexpected end of JSON input'),
        ('command no list', get(query('notjson')), 500, "failed to marshal command into json: invalid character 'o' in literal null (expecting 'u')"),
        ('bad tty', get(query(['/bin/true'], tty='bogus')), 500, 'tty value is not a boolean: strconv.ParseBool: parsing "bogus": invalid syntax'),
    ]:
        expect(what, (a.status, a.body), (status, text))
        a.socket.close()


at_a_terminal()
over_the_wire()
