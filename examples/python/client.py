#!/usr/bin/env python3
"""client.py - a client in Python of two of the servers in C

    client.py advanced NAME           calls both methods of: advanced_server NAME
    client.py standard NAME [COUNT]   sends requests to: standard_request server NAME

SPDX-License-Identifier: MIT
"""
import struct
import sys

import hqq

METHOD_UPPER, METHOD_SUM = 1, 2


def advanced(name):
    with hqq.Advanced(name) as link:
        print("upper:", link.call(METHOD_UPPER, b"hello, world").decode())
        print("sum:", struct.unpack("=Q", link.call(METHOD_SUM, struct.pack("=3Q", 1, 2, 3)))[0])
        try:
            link.call(METHOD_SUM, b"123")
        except hqq.Error as error:
            print(f"refused with {error.status}: {error.body.decode()}")
        else:
            sys.exit("client.py: what is wrong was not refused")


def standard(name, count):
    message = struct.Struct("=Q48s")  # struct message of standard_request.c
    with hqq.Standard(name) as link:
        for number in range(1, count + 1):
            link.write(message.pack(number, b"request %d, please" % number))
            if link.read() != message.pack(number, b"REQUEST %d, PLEASE" % number):
                sys.exit(f"client.py: the answer to request {number} is wrong")
    print(f"client: {count} requests, all answers right")


if sys.argv[1:2] == ["advanced"] and len(sys.argv) == 3:
    advanced(sys.argv[2])
elif sys.argv[1:2] == ["standard"] and len(sys.argv) in (3, 4):
    standard(sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 1000)
else:
    sys.exit(__doc__)
