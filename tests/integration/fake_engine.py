#!/usr/bin/env python3
"""A container engine for tests, as far as taskdock needs one: Docker's API on a unix socket, where containers are processes of
this machine without any isolation. usage: fake_engine.py SOCKET LOG; the image "box:1" can be pulled, "private:1" with the
password "sesame", and "slow:1" takes until the file LOG.go is there. The end of a container with the label EVENTS is told as an
event alone, that of others to who waits for it alone."""
import base64, http.server, json, os, re, signal, socketserver, struct, subprocess, sys, threading, time, urllib.parse

SOCKET, LOG = sys.argv[1:3]
lock = threading.Lock()
images, containers, commands = set(), {}, {}


def note(what):
    with lock, open(LOG, 'a') as f:
        f.write(what + '\n')


class Container:
    def __init__(self, name, body):
        self.name, self.body, self.process, self.code = name, body, None, 0
        self.output, self.attached = threading.Condition(), []

    def start(self):
        env = dict(e.split('=', 1) for e in self.body['Env'])
        env.pop('LD_PRELOAD', None)  # a container has its own; here it would be of this machine
        self.process = subprocess.Popen(self.body['Cmd'], env={'PATH': os.environ['PATH'], **env}, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        pumps = [threading.Thread(target=self.pump, args=(1, self.process.stdout)), threading.Thread(target=self.pump, args=(2, self.process.stderr))]
        for p in pumps:
            p.start()
        threading.Thread(target=self.reap, args=(pumps,), daemon=True).start()

    def pump(self, stream, pipe):
        while data := os.read(pipe.fileno(), 65536):
            with self.output:
                for f in self.attached:
                    try:
                        f.write(struct.pack('>BxxxL', stream, len(data)) + data)
                        f.flush()
                    except OSError:
                        pass

    def reap(self, pumps):
        self.process.wait()
        for p in pumps:
            p.join()
        code = self.process.returncode
        with self.output:
            self.code = code if code >= 0 else 128 - code
            self.attached = None
            self.output.notify_all()

    def wait(self):
        with self.output:
            while self.attached is not None:
                self.output.wait()

    def runs(self):
        return self.process is not None and self.attached is not None

    def remove(self):
        if self.runs():
            os.killpg(self.process.pid, signal.SIGKILL)
        note(f'removed {self.name}')


class Command:
    """in a container: its streams are those of the connection that starts it"""
    def __init__(self, words):
        self.words, self.process = words, None

    def talk(self, connection, out):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        written = threading.Lock()

        def pump(stream, pipe):
            while data := os.read(pipe.fileno(), 65536):
                try:
                    with written:
                        out.write(struct.pack('>BxxxL', stream, len(data)) + data)
                        out.flush()
                except OSError:
                    pass

        def feed():
            try:
                while data := connection.recv(65536):
                    self.process.stdin.write(data)
                    self.process.stdin.flush()
                self.process.stdin.close()
            except OSError:
                pass
        threading.Thread(target=feed, daemon=True).start()
        pumps = [threading.Thread(target=pump, args=(n, p)) for n, p in ((1, self.process.stdout), (2, self.process.stderr))]
        for p in pumps:
            p.start()
        for p in pumps:
            p.join()
        self.process.wait()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def reply(self, status, tree=None, chunks=None):
        self.send_response(status)
        self.send_header('Connection', 'close')
        if chunks is not None or status == 200:
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            for c in chunks if chunks is not None else re.findall('(?s).{1,7}', json.dumps(tree)):
                self.wfile.write(b'%x;x=y\r\n%s\r\n' % (len(c), c.encode()))
            self.wfile.write(b'0\r\n\r\n')
        else:
            data = b'' if tree is None else json.dumps(tree).encode()
            if status != 204:
                self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def pull(self, image):
        auth = self.headers.get('X-Registry-Auth')
        said = json.loads(base64.urlsafe_b64decode(auth)) if auth else {}
        note(f'pulled {image} {said.get("username", "-")}')
        name = image.split('/')[-1]
        if name == 'private:1' and said.get('password') != 'sesame' or name not in ('box:1', 'private:1', 'slow:1'):
            return self.reply(200, chunks=['{"status":"looking"}\n', '{"error":"nobody has ', 'it"}\n'])
        while image == 'slow:1' and not os.path.exists(LOG + '.go'):
            time.sleep(0.05)
        images.add(image)
        return self.reply(200, chunks=['{"status":"a"}\n{"sta', 'tus":"b"}'])

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        path, query = url.path.removeprefix('/v1.40'), dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.close_connection = True
        if path == '/version':
            return self.reply(200, {'Version': '0'})
        if m := re.fullmatch(r'/images/(.+)/json', path):
            return self.reply(200, {}) if m[1] in images else self.reply(404, {'message': f'no such image: {m[1]}'})
        if path == '/images/create':
            return self.pull(query['fromImage'])
        if self.command == 'DELETE' and (m := re.fullmatch(r'/images/(.+)', path)):
            images.discard(m[1])
            note('image removed ' + m[1])
            return self.reply(200, [])
        if path == '/images/load':
            images.add(body.decode().strip())
            return self.reply(200, {})
        if path == '/containers/create':
            if query['name'] in containers:
                return self.reply(409, {'message': 'the name is taken'})
            containers[query['name']] = Container(query['name'], json.loads(body))
            note('created ' + body.decode())
            return self.reply(201, {'Id': query['name']})
        if path == '/containers/json':
            filters = json.loads(query['filters'])
            label = filters.get('label', ['='])[0].split('=', 1)
            return self.reply(200, [{'Id': n} for n, c in list(containers.items())
                                    if c.body['Labels'].get(label[0]) == label[1] or c.body['Image'] in filters.get('ancestor', [])])
        if path == '/events':
            c = containers[json.loads(query['filters'])['container'][0]]
            if 'EVENTS' not in c.body['Labels']:
                return self.reply(404, {'message': 'nobody tells'})
            c.wait()
            return self.reply(200, chunks=[json.dumps({'Action': 'die', 'Actor': {'ID': i, 'Attributes': {'exitCode': code}}}) + '\n'
                                           for i, code in (('another', '1'), (c.name, str(c.code)))])
        if m := re.fullmatch(r'/exec/(\d+)/(start|json)', path):
            command = commands[m[1]]
            if m[2] == 'json':
                code = command.process.poll()
                return self.reply(200, {'Running': code is None, 'Pid': command.process.pid, 'ExitCode': code})
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n')
            self.wfile.flush()
            return command.talk(self.connection, self.wfile)
        m = re.fullmatch(r'/containers/([^/]+)(/.*)?', path)
        c = m and containers.get(m[1])
        if not c:
            return self.reply(404, {'message': 'no such container'})
        if self.command == 'DELETE':
            containers.pop(m[1]).remove()
            return self.reply(204)
        if m[2] == '/exec':
            with lock:
                number = str(len(commands))
                commands[number] = Command(json.loads(body)['Cmd'])
            return self.reply(201, {'Id': number})
        if m[2] == '/start':
            try:
                c.start()
            except OSError as e:
                return self.reply(400, {'message': str(e)})
            return self.reply(204)
        if m[2] == '/kill':
            os.killpg(c.process.pid, int(query['signal']))
            return self.reply(204)
        if m[2] == '/wait':
            c.wait()
            if 'EVENTS' in c.body['Labels']:
                time.sleep(3600)
            return self.reply(200, {'StatusCode': c.code})
        if m[2] == '/json':
            return self.reply(200, {'State': {'Running': c.runs(), 'ExitCode': c.code, 'OOMKilled': 'OOM' in c.body['Labels']}})
        with c.output:  # so that nothing is written before, and nothing missed behind it
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n')
            self.wfile.flush()
            if c.attached is not None:
                c.attached.append(self.wfile)
            while c.attached is not None:
                c.output.wait()

    do_GET = do_POST = do_DELETE = answer


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self):
        s, _ = super().get_request()
        return s, ('engine', 0)


def end(*args):
    for c in list(containers.values()):
        c.remove()
    os._exit(0)


signal.signal(signal.SIGTERM, end)
Server(SOCKET, Handler).serve_forever()
