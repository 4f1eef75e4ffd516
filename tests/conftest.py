"""What every test runs under: shape checks, one thread, no network, caches of its own, untouched global generators.

``pytest --no-check-shapes`` runs without the shape checks. They are on by default and cost little, because each test
checks the first calls of every function and not all of them.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import inspect
import ipaddress
import os
import socket
import sys
import tempfile
import typing
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NO_LISTENER = "http://127.0.0.1:9"  # the discard port: refused at once
FOLDER = tempfile.TemporaryDirectory(prefix="gapkit-tests-")
# Here and not in pytest_configure: numpy reads the number of threads when it is imported, jaxtyping imports numpy, and
# the conftest files of the folders import gapkit. Child processes inherit all of it.
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # sums are then always added in the same order
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_ENDPOINT"] = NO_LISTENER
os.environ["HF_HOME"] = str(Path(FOLDER.name) / "huggingface")
os.environ["GAPKIT_CACHE"] = str(Path(FOLDER.name) / "gapkit")
os.environ["MPLBACKEND"] = "agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import jaxtyping  # noqa: E402
from beartype import beartype  # noqa: E402
from jaxtyping import jaxtyped  # noqa: E402

# These take what users give them and check it themselves, in words; what their fields hold afterwards is annotated.
FIRST_CALLS = 20
CALLS: Counter[str] = Counter()
VALIDATES = {"gapkit.types.Activations.__init__", "gapkit.types.Target.__init__"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Shape checks are on unless they are switched off; the switch is read below, before pytest reads it."""
    parser.addoption("--check-shapes", action="store_true", default=True, help="check jaxtyping shapes (the default)")
    parser.addoption("--no-check-shapes", action="store_false", dest="check_shapes", help="do not check shapes")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Benchmarks run alone, and in this process; everything else on all cores, as xdist decides."""
    wanted = config.getoption("markexpr") or ""
    return 0 if "benchmark" in wanted and "not benchmark" not in wanted else None


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Beartype for annotations that say shapes; the others are pyright's, users' mistakes gapkit's to refuse."""
    if f"{function.__module__}.{function.__qualname__}" in VALIDATES:
        return function
    function.__annotations__ = {
        name: hint if _says_shape(hint) else Any for name, hint in function.__annotations__.items()
    }
    return beartype(function)


def check_first_calls(thing: Any = None, *, typechecker: Any) -> Any:
    """As ``jaxtyping.jaxtyped``, for the first calls of a function in every test: inner loops make many thousands."""
    if thing is None:
        return functools.partial(check_first_calls, typechecker=typechecker)
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and "__init__" in vars(thing):
            thing.__init__ = check_first_calls(thing.__init__, typechecker=typechecker)
        return thing
    checked = jaxtyped(thing, typechecker=typechecker)
    # By its name: a closure that is kept would keep what it has been given.
    name = f"{thing.__module__}.{thing.__qualname__}"

    @functools.wraps(thing)
    def first_calls(*arguments: Any, **options: Any) -> Any:
        if CALLS[name] >= FIRST_CALLS:
            return thing(*arguments, **options)
        CALLS[name] += 1
        return checked(*arguments, **options)

    return first_calls


def _says_shape(hint: Any) -> bool:
    """Whether an annotation is, or has in it, an array of jaxtyping."""
    if parts := typing.get_args(hint):
        return any(_says_shape(part) for part in parts)
    return inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)


HOOK = None
if "--no-check-shapes" not in sys.argv:
    jaxtyping.jaxtyped = check_first_calls  # what the hook decorates with
    HOOK = jaxtyping.install_import_hook("gapkit", f"{__name__}.{check_shapes.__name__}")


def pytest_unconfigure() -> None:
    """Take the hook out again and delete the folder."""
    if HOOK is not None:
        HOOK.uninstall()
        jaxtyping.jaxtyped = jaxtyped
    FOLDER.cleanup()


@pytest.fixture(autouse=True)
def _shapes_are_checked_anew() -> None:
    """Every test checks shapes, whatever the tests before it have called."""
    CALLS.clear()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are cached in the test's own folder, never in the user's."""
    monkeypatch.setenv("GAPKIT_CACHE", str(tmp_path / "gapkit-cache"))


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the marker ``network``, only this machine can be reached, as if the cable were out."""
    if request.node.get_closest_marker("network"):
        return
    connect, connect_ex, resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if not _is_local(address):
            raise OSError(errno.ENETUNREACH, f"tests have no network, not even to {address}")
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        return connect_ex(self, address) if _is_local(address) else errno.ENETUNREACH

    def guarded_resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_local((host,)):
            raise socket.gaierror(socket.EAI_AGAIN, f"tests have no network, not even to {host}")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


def _is_local(address: Any) -> bool:
    """Whether an address is a socket file, this machine's name for itself or a loopback address."""
    if not isinstance(address, tuple):
        return True
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _global_generators_untouched() -> Iterator[None]:
    """Fail a test after which numpy's or torch's global random state is another one: randomness is an argument."""
    before = _global_states()
    yield
    after = _global_states()
    touched = [library for library, state in before.items() if after[library] != state]
    assert not touched, f"the global random state of {' and '.join(touched)} was changed"


def _global_states() -> dict[str, bytes]:
    """The global random state of those of numpy and torch that have been imported."""
    states = {}
    if (numpy := sys.modules.get("numpy")) is not None:
        state = numpy.random.get_state()
        states["numpy"] = state[1].tobytes() + bytes(str(state[2:]), "ascii")
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.random.get_rng_state().numpy().tobytes()
    return states
