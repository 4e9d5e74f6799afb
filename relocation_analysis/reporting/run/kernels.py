"""Kernels for the chapters: of this very interpreter, warm where the system can fork, untouched by the user's files.

A warm kernel is forked from a process that has already imported the libraries, see `fork_server`; where that cannot be,
the stock kernel serves, and writes the same bytes.
"""

import itertools
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from relocation_analysis.data.sources import MIRROR
from relocation_analysis.language import _
from relocation_analysis.paths import ROOT

SOURCE_DATE_EPOCH = 1577836800  # 2020-01-01: a fixed date for everything that insists on carrying one
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # who forks has one thread
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # what a kernel sets, but before the first import
}
PROVISIONER = "relocation-fork"
GROUP = "jupyter_client.kernel_provisioners"
LONGEST_PATH = 80  # of a folder for sockets: the system allows a little more than a hundred letters in all
PATIENCE = 120.0  # seconds that a server may take for its imports


def can_fork() -> bool:
    """Whether kernels can be forked here: Linux. Elsewhere libraries do not survive a fork, or there is none."""
    return sys.platform == "linux" and hasattr(os, "fork")


class Kernels:
    """The kernels of a run, a context manager: at its end, and after `stop`, none of them is left.

    Parameters
    ----------
    warm : fork them from a process that has imported the libraries; by default wherever that can be.
    """

    def __init__(self, warm: bool | None = None):
        self._warm = can_fork() if warm is None else warm
        self._server: ForkServer | None = None
        self._lock, self._number = threading.Lock(), itertools.count()
        self._started: set[AsyncKernelManager] = set()
        self.stopped = False

    def __enter__(self) -> "Kernels":
        logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what fails is a ChapterError, said once
        self._scratch = tempfile.TemporaryDirectory(prefix="relocation-", ignore_cleanup_errors=True)
        self.scratch = Path(self._scratch.name)
        if self._warm:
            self._server = ForkServer(self._environment())
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._scratch.cleanup()

    def stop(self) -> None:
        """Kill every kernel, and let no other start."""
        with self._lock:
            self.stopped = True
            if self._server is not None:
                self._server.close()
        for kernel in list(self._started):
            kill(kernel)

    def manager(self, started: list, env: dict[str, str]) -> type[AsyncKernelManager]:
        """A class of kernel managers, for papermill; each has a kernel of its own, with `env`, and is added to `started`."""
        kernels, spec = self, self._spec(env)

        class OwnInterpreter(KernelSpecManager):
            def get_kernel_spec(self, kernel_name):
                return spec

        class Kernel(AsyncKernelManager):
            def __init__(self, **settings):
                super().__init__(kernel_spec_manager=OwnInterpreter(), **settings, **kernels._address())
                self.ended = self.forked = None
                kernels._started.add(self)
                started.append(self)

            async def is_alive(self):
                if self.ended is None and self.has_kernel:
                    self.ended = await self.provisioner.poll()
                return self.has_kernel and self.ended is None

            _async_is_alive = is_alive

            async def _async_interrupt_kernel(self):
                if not self.shutting_down:  # else it is killed next, and an interrupt would only make it complain before
                    await super()._async_interrupt_kernel()

            def fork(self, request):
                self.forked = kernels.fork(request)
                return self.forked

        return Kernel

    def fork(self, request: dict) -> "ForkedProcess":
        """Fork a kernel; a server that has died is replaced. RuntimeError where it dies meanwhile, or the run was stopped."""
        with self._lock:
            if self.stopped:
                raise RuntimeError("the run was stopped")
            if not self._server.alive:
                self._server.close()
                self._server = ForkServer(self._environment())
            control = self._server.connect()
        with control:
            return ForkedProcess(control, request)

    def release(self, started: list) -> None:
        """Be done with kernels: none of them is left."""
        for kernel in started:
            self._started.discard(kernel)
            if kernel.forked is not None:
                kernel.forked.close()
            elif (process := getattr(kernel.provisioner, "process", None)) is not None:
                process.kill()
                process.wait()

    def _address(self) -> dict[str, str]:
        """Sockets in a private folder where the system has them: no port to race for, nobody to listen in."""
        if os.name != "posix" or len(str(self.scratch)) > LONGEST_PATH:
            return {}
        return {"transport": "ipc", "ip": str(self.scratch / str(next(self._number)))}

    def _spec(self, env: dict[str, str]) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        about: dict[str, Any] = {"argv": argv, "display_name": "Python 3", "language": "python"}
        if self._warm:
            _register()
            about["metadata"] = {"kernel_provisioner": {"provisioner_name": PROVISIONER}}
        return KernelSpec(**about, env=self._environment() | env)

    def _environment(self) -> dict[str, str]:
        env = ENVIRONMENT | {"IPYTHONDIR": str(self.scratch)}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # the code that is hashed
        if mirror := os.environ.get(MIRROR):  # kernels run in the folder of the notebooks
            env[MIRROR] = str(Path(mirror).resolve())
        return env


def kill(kernel: AsyncKernelManager) -> None:
    """Kill the kernel of a manager, if it still has one."""
    if (process := getattr(kernel.provisioner, "process", None)) is not None:
        process.kill()


def how_it_ended(started: list) -> str:
    """What is known of the end of the last kernel of a list."""
    code = started[-1].ended if started else None
    if code is None:
        return _("it gave no answer")
    if code == -getattr(signal, "SIGKILL", 9):
        return _("it was killed, as happens where the machine runs out of memory")
    return _("it ended by signal {n}", n=-code) if code < 0 else _("it left with status {n}", n=code)


class ForkServer:
    """The process from which kernels are forked, as its driver sees it."""

    def __init__(self, env: dict[str, str]):
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-P", "-m", "relocation_analysis.reporting.run.fork_server", str(number)]
            self._process = subprocess.Popen(command, env=os.environ | env, pass_fds=[number],
                                             stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it still listens; a process that dies has closed its socket some time before it can be waited for."""
        watch = select.poll()
        watch.register(self._ours, 0)  # of the events that it tells unasked, a hang-up is the one that happens
        return not watch.poll(0)

    def connect(self) -> socket.socket:
        """A socket of the caller's own by which to ask for kernels."""
        return self._ours.dup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, seconds: float = PATIENCE) -> None:
        """Wait until the libraries are imported."""
        if not select.select([self._ours], [], [], seconds)[0]:
            raise TimeoutError("the libraries of the chapters could not be imported in time")

    def close(self) -> None:
        """End the server and every kernel that it forked."""
        self._ours.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # still importing, or stopped: it has no kernel, or they die with it
            self._process.kill()
            self._process.wait()


class ForkedProcess:
    """A kernel forked by the server, with the methods of `subprocess.Popen` that a provisioner calls."""

    stdin = stdout = stderr = None

    def __init__(self, control: socket.socket, request: dict):
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._heard, self.returncode = b"", None
        try:
            self._line.settimeout(PATIENCE)
            with theirs:
                socket.send_fds(control, [b"k"], [theirs.fileno()])
            self._line.sendall(json.dumps(request).encode() + b"\n")
            if (answer := self._hear()) is None:
                raise ConnectionError
        except OSError as error:  # of which ConnectionError and TimeoutError are kinds
            self._line.close()
            raise RuntimeError("the process that forks kernels has ended, or does not answer") from error
        self.pid = answer["pid"]
        self._line.setblocking(False)

    def _hear(self) -> dict | None:
        """The next message; None where the server is gone. BlockingIOError where there is none yet."""
        while b"\n" not in self._heard:
            try:
                part = self._line.recv(1 << 12)
            except ConnectionError:
                part = b""
            if not part:
                return None
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def poll(self) -> int | None:
        """How it ended, the negative number of the signal where one did it; None while it runs."""
        if self.returncode is None:
            try:
                answer = self._hear()
            except BlockingIOError:
                return None
            self.returncode = -signal.SIGKILL if answer is None else answer["exit"]  # a server takes its kernels along
            self._line.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        while self.poll() is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("kernel", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the kernel and the processes it started, unless it has ended."""
        if self.poll() is None:
            try:
                self._line.send(bytes([number]))
            except OSError:
                pass  # the server has gone, and the kernel with it

    def close(self) -> None:
        """Be done with the kernel: the server kills it if it still runs."""
        self._line.close()
        self.returncode = -signal.SIGKILL if self.returncode is None else self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class ForkProvisioner(LocalProvisioner):
    """Gets kernels from the `Kernels` of its manager; in all else as jupyter_client's own provisioner."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict:
        request = {"arguments": cmd[3:], "cwd": kwargs.get("cwd"), "env": dict(kwargs["env"])}
        self.process = self.parent.fork(request)
        self.pid, self.pgid = self.process.pid, None  # signals go by the server, which knows whether it lives
        self.cwd = kwargs.get("cwd")
        return self.connection_info


def _register() -> None:
    """Make the provisioner known where the package is used from a checkout that is not installed."""
    known = KernelProvisionerFactory.instance().provisioners
    known.setdefault(PROVISIONER, EntryPoint(PROVISIONER, f"{__name__}:{ForkProvisioner.__name__}", GROUP))
