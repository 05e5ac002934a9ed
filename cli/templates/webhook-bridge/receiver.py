"""A receiver to try the bridge with: prints what arrives on 127.0.0.1:8787. Any Python, no packages.

One in earnest also checks the header webhook-signature (https://www.standardwebhooks.com), and answers a message whose
webhook-id it has seen with success, without doing the work again.
"""

import http.server

BODY_BYTES_MAX = 1 << 20
seen = set()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), BODY_BYTES_MAX))
        message = self.headers.get("webhook-id", "")
        print("again" if message in seen else "new", message, body.decode(errors="replace"), flush=True)
        seen.add(message)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    http.server.HTTPServer(("127.0.0.1", 8787), Receiver).serve_forever()
