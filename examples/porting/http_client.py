"""Fetches a page: http_client 127.0.0.1 PORT PATH."""
import asyncore
import sys


class Client(asyncore.dispatcher):
    def __init__(self, host, port, path):
        asyncore.dispatcher.__init__(self)
        self.request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
        self.create_socket()
        self.connect((host, port))

    def writable(self):
        return self.connecting or len(self.request) > 0

    def handle_write(self):
        sent = self.send(self.request)
        self.request = self.request[sent:]

    def handle_read(self):
        sys.stdout.buffer.write(self.recv(8192))

    def handle_error(self):
        error = sys.exc_info()[1]
        sys.exit(f"failed: {error}")


Client(sys.argv[1], int(sys.argv[2]), sys.argv[3])
asyncore.loop()
