"""hqq - the part of libhqq that the examples beside this file use, by ctypes: nothing to build

A Standard link is opened with Standard(name), an Advanced one with Advanced(name); both are context managers.
What the library refuses is raised as Error, with the library's code and text. While a call waits, other
threads of Python go on.

SPDX-License-Identifier: MIT
"""
import ctypes
import errno
import time
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_ssize_t, c_uint8, c_uint32, c_uint64, c_void_p

PEER_EOF = 0x02  # hqq_options.flags
FEATURE_REQUEST_RESPONSE = 2
ERR_RESPONSE = -18526


class Options(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("role", c_uint32), ("wait", c_uint32), ("flags", c_uint64),
                ("spin_ns", c_uint64)]


class Version(ctypes.Structure):
    _fields_ = [("major", c_uint8), ("minor", c_uint8)]


class Message(ctypes.Structure):
    _fields_ = [("connection_id", c_uint64), ("message_id", c_uint64), ("method_id", c_uint64),
                ("status", c_uint64), ("flags", c_uint64), ("payload", c_void_p), ("payload_size", c_size_t),
                ("opaque", c_uint64 * 3)]


class Context(ctypes.Structure):
    _fields_ = [("opaque", c_uint64 * 8)]


def _check(result, function, arguments):
    if result < 0:
        raise Error(result)
    return result


# Every function with its types: without them ctypes would cut pointers and sizes to an int.
def _declare(name, result, *arguments, check=True):
    function = getattr(_library, name)
    function.restype = result
    function.argtypes = arguments
    if check:
        function.errcheck = _check


_library = ctypes.CDLL("libhqq.so.1")
_declare("hqq_strerror", c_char_p, c_int, check=False)
_declare("hqq_context_set_timeout", c_int, POINTER(Context), c_uint64)
_declare("hqq_standard_open", c_int, POINTER(c_void_p), c_char_p, c_size_t, c_size_t, POINTER(Options))
_declare("hqq_standard_close", c_int, c_void_p)
_declare("hqq_standard_buffer_size", c_size_t, c_void_p, check=False)
_declare("hqq_standard_read", c_ssize_t, c_void_p, c_void_p, c_size_t)
_declare("hqq_standard_write", c_ssize_t, c_void_p, c_char_p, c_size_t)
_declare("hqq_advanced_open", c_int, POINTER(c_void_p), c_char_p, c_size_t, c_size_t, c_void_p)
_declare("hqq_advanced_close", c_int, c_void_p)
_declare("hqq_advanced_negotiate", c_int, c_void_p, POINTER(Context), Version, c_uint64)
_declare("hqq_advanced_call", c_int, c_void_p, POINTER(Context), c_uint64, c_char_p, c_size_t, POINTER(Message),
         check=False)
_declare("hqq_message_clear", None, POINTER(Message), check=False)


class Error(Exception):
    """What libhqq answered instead of doing it; with status and body when it came from the peer"""

    def __init__(self, code, status=0, body=b""):
        super().__init__(_library.hqq_strerror(code).decode())
        self.code, self.status, self.body = code, status, body


class _Link:
    def __init__(self, name, patience, open_it):
        self._handle = c_void_p()
        until = time.monotonic() + patience
        while True:  # the server may be starting, or may have another client
            try:
                open_it(byref(self._handle), name.encode(), 0, 0)
                return
            except Error as error:
                if error.code not in (-errno.ENOENT, -errno.EBUSY) or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        handle, self._handle = self._handle, c_void_p()
        if handle:
            self._close(handle)


class Standard(_Link):
    """Messages of up to one buffer"""
    _close = _library.hqq_standard_close

    def __init__(self, name, patience=10):
        # a read ends with an Error once the last peer has left
        options = Options(struct_size=ctypes.sizeof(Options), flags=PEER_EOF)
        super().__init__(name, patience, lambda *link: _library.hqq_standard_open(*link, byref(options)))
        self._buffer = ctypes.create_string_buffer(_library.hqq_standard_buffer_size(self._handle))

    def write(self, message):
        return _library.hqq_standard_write(self._handle, message, len(message))

    def read(self):
        length = _library.hqq_standard_read(self._handle, self._buffer, len(self._buffer))
        return ctypes.string_at(self._buffer, length)


class Advanced(_Link):
    """Calls, once both sides have negotiated; patience is for all of the link's life"""
    _close = _library.hqq_advanced_close

    def __init__(self, name, patience=10):
        super().__init__(name, patience, lambda *link: _library.hqq_advanced_open(*link, None))
        self._context = Context()
        _library.hqq_context_set_timeout(byref(self._context), int(patience * 1e9))
        try:
            _library.hqq_advanced_negotiate(self._handle, byref(self._context), Version(1, 0),
                                            FEATURE_REQUEST_RESPONSE)
        except Error:
            self.close()
            raise

    def call(self, method, request=b""):
        answer = Message()
        code = _library.hqq_advanced_call(self._handle, byref(self._context), method, request, len(request),
                                          byref(answer))
        if code < 0 and code != ERR_RESPONSE:
            raise Error(code)
        # the answer belongs to us, a refusal as well
        body = ctypes.string_at(answer.payload, answer.payload_size) if answer.payload_size else b""
        status = answer.status
        _library.hqq_message_clear(byref(answer))
        if code:
            raise Error(code, status, body)
        return body
