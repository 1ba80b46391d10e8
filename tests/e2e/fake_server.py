"""A chat completions server that says what a test wants, and remembers what it was asked.

    with FakeServer(lambda request: reply("[[7]]")) as server:
        ...  # server.url, server.requests, server.most_in_flight
"""
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def reply(text, status=200, headers=None, **more):
    """A success with the answer `text`; more goes into the reply's object."""
    body = {"id": "x", "object": "chat.completion", "model": "fake",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}
    body.update(more)
    return raw(json.dumps(body), status, headers)


def error(status, message="", headers=None):
    return raw(json.dumps({"error": {"message": message, "type": "fake"}}), status, headers)


def raw(body, status=200, headers=None, length=None):
    return {"status": status, "body": body.encode() if isinstance(body, str) else body, "headers": headers or {}, "length": length}


DROP = "drop"  # the connection is closed without a word


class Request:
    def __init__(self, number, path, headers, body):
        self.number, self.path, self.headers, self.body = number, path, dict(headers), body
        self.json = json.loads(body)
        self.user = self.json["messages"][-1]["content"]
        self.time = time.time()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        fake = self.server.fake
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with fake.lock:
            request = Request(len(fake.requests), self.path, self.headers, body)
            fake.requests.append(request)
            fake.in_flight += 1
            fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
        try:
            answer = fake.behave(request)
        finally:  # before the answer goes out: the next request may come as soon as it has
            with fake.lock:
                fake.in_flight -= 1
        try:
            self.answer(answer)
        except OSError:  # the client has gone
            self.close_connection = True

    def answer(self, answer):
        if answer == DROP:
            self.close_connection = True
            return
        self.send_response(answer["status"])
        for name, value in answer["headers"].items():
            self.send_header(name, value)
        if answer["length"] is None:
            self.send_header("Content-Length", str(len(answer["body"])))
        else:  # says one length and closes after another
            self.send_header("Content-Length", str(answer["length"]))
            self.close_connection = True
        self.end_headers()
        self.wfile.write(answer["body"])

    def do_GET(self):
        self.server.fake.requests.append(None)
        self.send_error(404)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


class FakeServer:
    def __init__(self, behave, certificate=None):
        self.behave, self.lock = behave, threading.Lock()
        self.requests, self.in_flight, self.most_in_flight = [], 0, 0
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.fake = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
