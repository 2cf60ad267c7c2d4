"""Real servers on this machine, with and without TLS."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers any GET and POST as its server says, and keeps what it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - as http.server calls them

    def do_GET(self):
        self.server.lines.append(self.requestline)
        self.server.headers.append(self.headers)
        status, headers, body = self.server.answer
        if self.server.repeats_headers:  # as some servers show the request that they refuse
            status, body = 400, f"Bad request. You sent:\n{self.headers}".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class LoopbackServer(ThreadingHTTPServer):
    """A real server, which counts the connections made to it. With a certificate it speaks TLS."""

    daemon_threads = True
    token = "cop_s3cret"
    transport = None

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.connections = 0
        self.lines = []
        self.headers = []
        self.repeats_headers = False
        self.answer = (200, {}, b'{"id": "a1"}')
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server_port}"

    def get_request(self):
        connection, address = super().get_request()
        self.connections += 1
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_):
        """Bear with a client that hangs up because it does not trust the certificate."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
