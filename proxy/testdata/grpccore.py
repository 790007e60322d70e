"""A gRPC server and a client on C-core, the library below gRPC's Python, Ruby, PHP and C++.

usage: grpccore.py serve HEALTH               prints its port, serves until stdin ends;
                                              HEALTH: serving, not-serving, or none
       grpccore.py call HOST:PORT NAME ROOT   calls each kind of method at that address,
                                              whose certificate ROOT signed for NAME

Messages are bytes as they are: no generated code. The methods are those of the Go
server in grpc_test.go.
"""

import hashlib
import os
import sys
import threading
import traceback
from concurrent import futures

import grpc

MESSAGE_LIMIT = 64 << 20
PATIENCE = 60  # seconds


def named(name, metadata):
    """The values of that name, in their order: that of names is nobody's promise."""
    return [value for key, value in metadata if key == name]


# The server.


def unary(message, context):
    asked = named("asked", context.invocation_metadata())
    binary = named("asked-bin", context.invocation_metadata())
    context.send_initial_metadata([("seen", v) for v in asked] + [("seen-bin", v) for v in binary])
    context.set_trailing_metadata([("last", "word")])
    return message


def total(messages, context):
    digest = hashlib.sha256()
    for message in messages:
        digest.update(message)
    return digest.digest()


def repeat(message, context):
    for _ in range(100):
        yield message


def chat(messages, context):
    yield from messages


def wait(message, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    context.send_initial_metadata([("begun", "yes")])
    ended.wait(PATIENCE)
    yield b"ended"


def fail(message, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: ü, 100 %")


def fail_late(message, context):
    yield message
    context.abort(grpc.StatusCode.DATA_LOSS, "half of it")


def serve(health):
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16),
        options=[("grpc.max_receive_message_length", MESSAGE_LIMIT)],
    )
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Sum": grpc.stream_unary_rpc_method_handler(total),
        "Repeat": grpc.unary_stream_rpc_method_handler(repeat),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Wait": grpc.unary_stream_rpc_method_handler(wait),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    }
    handlers = [grpc.method_handlers_generic_handler("echo", methods)]
    # A HealthCheckResponse with its one field, status.
    status = {"serving": b"\x08\x01", "not-serving": b"\x08\x02", "none": None}[health]
    if status:
        check = grpc.unary_unary_rpc_method_handler(lambda message, context: status)
        handlers.append(grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}))
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(PATIENCE).wait()


# The client.


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def failure(what, code, details, call):
    try:
        call()
    except grpc.RpcError as error:
        expect(what, error.code(), code)
        if details is not None:
            expect(what, error.details(), details)
    else:
        raise AssertionError(f"{what}: no error")


def call(address, name, root):
    with open(root, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options = [
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", name),
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.secure_channel(address, credentials, options) as channel:
        calls(channel)
    print("all calls went well")


def calls(channel):
    asked = (("asked", "one"), ("asked", "two"), ("asked-bin", b"\x00\xff"))
    method = channel.unary_unary("/echo/Unary")
    answer, done = method.with_call(b"hello", timeout=PATIENCE, metadata=asked)
    expect("unary", answer, b"hello")
    expect("header", named("seen", done.initial_metadata()), ["one", "two"])
    expect("binary header", named("seen-bin", done.initial_metadata()), [b"\x00\xff"])
    expect("trailer", named("last", done.trailing_metadata()), ["word"])
    expect("empty", method(b"", timeout=PATIENCE), b"")
    large = os.urandom(5 << 20)
    expect("large", method(large, timeout=PATIENCE) == large, True)
    packed = b"again and again " * 10000
    expect("compressed", method(packed, timeout=PATIENCE, compression=grpc.Compression.Gzip) == packed, True)

    parts = [os.urandom(1), os.urandom(70_000), os.urandom(300_000)]
    got = channel.stream_unary("/echo/Sum")(iter(parts), timeout=PATIENCE)
    expect("client stream", got, hashlib.sha256(b"".join(parts)).digest())

    message = os.urandom(20_000)
    got = list(channel.unary_stream("/echo/Repeat")(message, timeout=PATIENCE))
    expect("server stream", got == [message] * 100, True)

    chatting(channel)

    failure("error", grpc.StatusCode.FAILED_PRECONDITION, "not today: ü, 100 %",
            lambda: channel.unary_unary("/echo/Fail")(b"x", timeout=PATIENCE))
    failure("no such method", grpc.StatusCode.UNIMPLEMENTED, None,
            lambda: channel.unary_unary("/echo/Nothing")(b"x", timeout=PATIENCE))
    late = channel.unary_stream("/echo/FailLate")(b"half", timeout=PATIENCE)
    expect("before the error", next(late), b"half")
    failure("late error", grpc.StatusCode.DATA_LOSS, "half of it", lambda: next(late))

    failure("deadline", grpc.StatusCode.DEADLINE_EXCEEDED, None,
            lambda: next(channel.unary_stream("/echo/Wait")(b"x", timeout=0.5)))
    waiting = channel.unary_stream("/echo/Wait")(b"x", timeout=PATIENCE)
    expect("begun", named("begun", waiting.initial_metadata()), ["yes"])
    waiting.cancel()
    failure("cancelled", grpc.StatusCode.CANCELLED, None, lambda: next(waiting))


def chatting(channel):
    """Sends a message only once the one before has come back."""
    messages = [os.urandom(1), os.urandom(100_000), os.urandom(10)]
    turn = threading.Semaphore(1)

    def ask():
        for message in messages:
            turn.acquire(timeout=PATIENCE)
            yield message

    got = []
    for message in channel.stream_stream("/echo/Chat")(ask(), timeout=PATIENCE):
        got.append(message)
        turn.release()
    expect("both ways", got == messages, True)


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        call(*sys.argv[2:5])


code = 1
try:
    main()
    code = 0
except BaseException:
    traceback.print_exc()
# grpcio's threads now and then keep the interpreter from its end.
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
