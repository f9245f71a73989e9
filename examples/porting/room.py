"""A room: what one says, all the others hear."""
import asyncore
import sys

members = []


class Member(asyncore.dispatcher_with_send):
    def __init__(self, sock):
        asyncore.dispatcher_with_send.__init__(self, sock)
        members.append(self)

    def handle_read(self):
        data = self.recv(8192)
        for other in list(members):
            if other is not self:
                other.send(data)

    def handle_close(self):
        members.remove(self)
        self.close()


class Room(asyncore.dispatcher):
    def __init__(self, port):
        asyncore.dispatcher.__init__(self)
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", port))
        self.listen(128)
        port = self.socket.getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", flush=True)

    def handle_accepted(self, sock, addr):
        Member(sock)


Room(int(sys.argv[1]))
asyncore.loop()
