"""Echo: what a client sends comes back."""
import asyncore
import sys


class Echo(asyncore.dispatcher_with_send):
    def handle_read(self):
        self.send(self.recv(8192))


class EchoServer(asyncore.dispatcher):
    def __init__(self, port):
        asyncore.dispatcher.__init__(self)
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", port))
        self.listen(128)
        port = self.socket.getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", flush=True)

    def handle_accepted(self, sock, addr):
        Echo(sock)


EchoServer(int(sys.argv[1]))
asyncore.loop()
