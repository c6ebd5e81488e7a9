"""Abuses listeners: connects and closes, sends noise, half a header, a wrong length, and keeps silent connections open.

usage: noise.py SECONDS HTTP_PORT SOCKET...
"""
import os
import random
import socket
import struct
import sys
import time

SP_HEADER = b"\0SP\0\0\x30\0\0"  # a req socket says hello (SP protocol number 48)


def connect(target):
    if isinstance(target, int):
        s = socket.create_connection(("127.0.0.1", target), timeout=2)
    else:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(2)
        s.connect(target)
    return s


def message(body):
    return b"\1" + struct.pack(">Q", len(body)) + body


def once(target, rng, silent):
    """One piece of abuse, by chance."""
    noise = rng.randbytes(rng.randrange(1, 2000))
    kinds = [
        b"", noise, SP_HEADER[: rng.randrange(8)], SP_HEADER + noise, SP_HEADER + message(noise),
        SP_HEADER + b"\1" + struct.pack(">Q", 1 << 62), SP_HEADER + message(b"\x80\0\0\1" + noise),
        b"GET /" + noise, b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{", b"POST /v1/jobs HTTP/1.1\r\n",
    ]
    s = connect(target)
    try:
        s.sendall(rng.choice(kinds))
        if rng.random() < 0.2:
            s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    if len(silent) < 400 and rng.random() < 0.2:
        silent.append(s)
    else:
        s.close()


def main():
    end = time.monotonic() + float(sys.argv[1])
    targets = [int(sys.argv[2])] + sys.argv[3:]
    seed = int.from_bytes(os.urandom(4), "big")
    print("# noise: seed %d, %d listeners" % (seed, len(targets)))
    rng, silent, refused = random.Random(seed), [], 0
    while time.monotonic() < end:
        for target in targets:
            try:
                once(target, rng, silent)
            except OSError:
                refused += 1
                time.sleep(0.01)
    for s in silent:
        s.close()
    print("# noise: %d connections refused" % refused)


main()
