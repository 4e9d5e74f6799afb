"""A process that has imported what the chapters need, and forks a kernel from itself whenever it is asked.

It is given one end of a pair of sockets. Each message that arrives there carries the end of another pair, which
belongs to one kernel: the request comes in by it, then signals for the kernel; its process number goes out by it,
then how it ended. Where the other end closes, because the driver is done with the kernel or has died, the kernel is
killed; where the first pair closes, this process ends, and its kernels with it. It reads no data.
"""

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback

PRELOADED = (
    "IPython",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.backends.backend_svg",
    "matplotlib.pyplot",
    "babel.messages.pofile",
    "duckdb",
    "pandas",
    "pyarrow.parquet",
    "scipy.optimize",
    "scipy.stats",
    "seaborn",
    "statsmodels.api",
)
PR_SET_PDEATHSIG = 1
PREFERRED_VICTIM = "500"  # where memory runs out, the kernel ends and not the driver
MESSAGE = 1 << 16


def main(descriptor: int) -> None:
    """Serve the pair of sockets of which `descriptor` is one end, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin = open(os.devnull, encoding="utf-8")
    preload()
    Server(socket.socket(fileno=descriptor)).serve()


def preload() -> None:
    """Import what the chapters use: libraries, and every module with a public name."""
    import relocation_analysis

    rooms = dict.fromkeys(relocation_analysis._ROOM.values())
    sys.modules["debugpy"] = None  # else every kernel imports a debugger, which nobody can attach
    importlib.import_module("ipykernel.debugger")
    del sys.modules["debugpy"]
    for name in (*PRELOADED, *(f"relocation_analysis.{room}" for room in rooms)):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared with the kernels


class Server:
    """The loop: requests, signals and the ends of kernels, one thread, nothing shared."""

    def __init__(self, control: socket.socket):
        self._control, self._kernels = control, {}  # connection -> process number
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._accept)
        wake, self._woken = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wake = wake
        self._selector.register(wake, selectors.EVENT_READ, self._reap)

    def serve(self) -> None:
        """Serve until the driver is gone, then kill what is left."""
        self._control.send(b"ready")
        while self._selector.get_map():
            for key, _ in self._selector.select():
                if key.fileobj is self._control or key.fileobj in self._selector.get_map():
                    key.data(key.fileobj)

    def _accept(self, control: socket.socket) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            message = b""
        if not message:
            for connection in list(self._kernels):
                self._close(connection)
            os._exit(0)
        connection = socket.socket(fileno=descriptors[0])
        request = json.loads(_read_line(connection))
        child = os.fork()
        if child == 0:
            self._leave(connection)
            become_kernel(**request)
        self._kernels[connection] = child
        self._selector.register(connection, selectors.EVENT_READ, self._signal)
        _tell(connection, pid=child)

    def _leave(self, connection: socket.socket) -> None:
        """Close, in the child, what belongs to the server."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for open_ in (self._control, connection, *self._kernels):
            open_.close()
        os.close(self._wake)
        os.close(self._woken)

    def _signal(self, connection: socket.socket) -> None:
        try:
            numbers = connection.recv(MESSAGE)
        except OSError:
            numbers = b""
        if not numbers:
            self._close(connection)
        elif child := self._kernels.get(connection):
            for number in numbers:
                kill_group(child, number)

    def _close(self, connection: socket.socket) -> None:
        """The driver is done with a kernel: whatever is left of it goes."""
        if child := self._kernels.pop(connection, None):
            kill_group(child, signal.SIGKILL)
        self._selector.unregister(connection)
        connection.close()

    def _reap(self, wake: int) -> None:
        os.read(wake, MESSAGE)
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not child:
                return
            for connection, of in self._kernels.items():
                if of == child:
                    self._kernels[connection] = 0  # its number may be given to another process from now on
                    _tell(connection, exit=os.waitstatus_to_exitcode(status))


def kill_group(leader: int, number: int) -> None:
    """Send a signal to a kernel and the processes that it started."""
    for send in (os.killpg, os.kill):  # just forked it leads no group yet
        try:
            return send(leader, number)
        except (ProcessLookupError, PermissionError):
            pass


def become_kernel(arguments: list[str], cwd: str | None, env: dict[str, str]) -> None:
    """Be an IPython kernel until it ends. Does not return."""
    status = 1
    try:
        server = os.getppid()
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        _offer_to_end_first()
        os.environ.clear()
        os.environ.update(env)
        if cwd:
            os.chdir(cwd)
        sys.argv = ["ipykernel_launcher.py", *arguments, f"--IPKernelApp.parent_handle={server}"]
        from ipykernel.kernelapp import IPKernelApp

        IPKernelApp.launch_instance(argv=sys.argv[1:])
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _offer_to_end_first() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(PREFERRED_VICTIM)
    except OSError:
        pass


def _read_line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        return file.readline()


def _tell(connection: socket.socket, **what: int) -> None:
    try:
        connection.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        pass  # the driver no longer listens: its end closes next


if __name__ == "__main__":
    main(int(sys.argv[1]))
