"""Real servers on this machine, with and without TLS."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Sends the server's response to each request, and records the requests."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - as http.server calls them

    def do_GET(self):
        self.server.request_lines.append(self.requestline)
        self.server.request_headers.append(self.headers)
        status, headers, body = self.server.response
        if self.server.echoes_headers:  # some servers repeat the request in the error
            status, body = 400, f"Bad request. You sent:\n{self.headers}".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Do not log."""


class LoopbackServer(ThreadingHTTPServer):
    """A server that counts its connections. With a certificate, it uses TLS."""

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
        self.request_lines = []
        self.request_headers = []
        self.echoes_headers = False
        self.response = (200, {}, b'{"id": "a1"}')
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server_port}"

    def get_request(self):
        connection, address = super().get_request()
        self.connections += 1
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_):
        """Ignore clients that disconnect because they do not trust the certificate."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
