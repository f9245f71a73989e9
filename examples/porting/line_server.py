"""Lines: each comes back in capitals, and quit is the last."""
import asynchat
import asyncore
import sys


class Lines(asynchat.async_chat):
    collect_incoming_data = asynchat.async_chat._collect_incoming_data

    def __init__(self, sock):
        asynchat.async_chat.__init__(self, sock)
        self.set_terminator(b"\n")

    def found_terminator(self):
        line = self._get_data()
        self.push(line.upper() + b"\n")
        if line == b"quit":
            self.close_when_done()


class LineServer(asyncore.dispatcher):
    def __init__(self, port):
        asyncore.dispatcher.__init__(self)
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", port))
        self.listen(128)
        port = self.socket.getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", flush=True)

    def handle_accepted(self, sock, addr):
        Lines(sock)


LineServer(int(sys.argv[1]))
asyncore.loop()
