"""Calls to a Redis or Valkey server or cluster: commands pipelined node by node, one attempt each by the client, repeated and paced here.

A command that another node answers by now (MOVED, ASK) is passed on by the client's cluster class, one that waits for keys on their way (TRYAGAIN) is repeated.
A script that a node does not know (NOSCRIPT) is sent in full, once.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from valkey import Valkey
from valkey.cluster import ValkeyCluster
from valkey.credentials import CredentialProvider
from valkey.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    ConnectionError as NotConnected,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    SlotNotCoveredError,
    TimeoutError as TimedOut,
    TryAgainError,
    ValkeyClusterException,
    ValkeyError,
)

from transforms.calls.repeats import Repeats
from transforms.calls.waiting import Waiting
from transforms.core.errors import RefusedError, RollupsError, ServiceUnavailable, StoreFull, UsageError
from transforms.core.throttle import Pacer

T = TypeVar("T")

CALL_S: Final = 10.0
"""Seconds after which a call that was not answered counts as lost."""

UNKNOWN: Final = "?"
"""The name of the node of a slot that none serves."""

_DENIED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_DENIALS: Final = ("NOAUTH", "NOPERM", "ACL failure", "The user executing the script can't run")
"""What servers say of a user's rights in answers that the client has no class for; the last one is Redis 7's."""

_LATER: Final = (NotConnected, TimedOut, BusyLoadingError, ClusterDownError, ClusterError, SlotNotCoveredError, ReadOnlyError, TryAgainError)


class Server(NamedTuple):
    """Where a server, or one node of a cluster, listens; with `tls` it must show a certificate of its name that the system trusts (or SSL_CERT_FILE)."""

    host: str
    port: int
    db: int = 0
    tls: bool = False

    def __str__(self) -> str:
        """As in URLs."""
        return f"{self.host}:{self.port}/{self.db}"


class Script(str):
    """A Lua script."""

    __slots__ = ()

    @property
    def sha(self) -> str:
        """The name that servers give it."""
        return sha1(self.encode(), usedforsecurity=False).hexdigest()


class Command(NamedTuple):
    """A command for the node that has its first key's slot. With a `script`, `words` are keys and arguments of it, `keys` of them keys."""

    words: tuple[bytes | str | int, ...]
    key: bytes
    script: Script | None = None
    keys: int = 0

    def sent(self, *, whole: bool = False) -> tuple[bytes | str | int, ...]:
        """What goes over the wire: a script by its name unless it shall go `whole`."""
        if self.script is None:
            return self.words
        return ("EVAL" if whole else "EVALSHA", str(self.script) if whole else self.script.sha, self.keys, *self.words)


def on(script: Script, keys: Sequence[bytes], *arguments: str | int) -> Command:
    """A script's call."""
    return Command((*keys, *arguments), keys[0], script, len(keys))


class Environment(CredentialProvider):
    """User and password of the process that connects: VALKEY_USERNAME, and VALKEY_PASSWORD or the content of the file VALKEY_PASSWORD_FILE.

    They are looked up at every connection, so that a file may be renewed, and by every worker in its own environment, as boto3 does: they are in no plan, no
    argument and no message.
    """

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """What AUTH is told; a password alone is the default user's."""
        environ = os.environ  # noqa: TID251 - see above: a secret that came as a value would have to travel to the workers
        name, password, path = (environ.get(f"VALKEY_{one}", "") for one in ("USERNAME", "PASSWORD", "PASSWORD_FILE"))
        if path:
            password = _secret(path)
        return (name, password) if name else (password,)

    @staticmethod
    def is_given() -> bool:
        """Whether there is a password at all; without one a server is not told any."""
        return any(os.environ.get(name) for name in ("VALKEY_PASSWORD", "VALKEY_PASSWORD_FILE"))  # noqa: TID251 - as above


def _secret(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        msg = f"reading the file {path!r} that VALKEY_PASSWORD_FILE names: {error.strerror}"
        raise UsageError(msg) from None


@dataclass(frozen=True)
class _Clients:
    """Clients of one process: of a server, or of a cluster's nodes."""

    single: Valkey
    cluster: ValkeyCluster | None = None
    pid: int = field(default_factory=os.getpid)

    def node_of(self, key: bytes) -> str:
        try:
            return str(self.cluster.get_node_from_key(key).name) if self.cluster else ""
        except SlotNotCoveredError:
            return UNKNOWN

    def at(self, node: str) -> Any:  # noqa: ANN401 - its commands answer anything
        if not self.cluster:
            return self.single
        found = self.cluster.get_node(node_name=node)
        if found is None:
            raise NotConnected("a slot of the cluster is served by no node" if node == UNKNOWN else f"{node} is no node of the cluster any more")
        return self.cluster.get_valkey_connection(found)

    def nodes(self) -> list[str]:
        return sorted(str(node.name) for node in self.cluster.get_primaries()) if self.cluster else [""]


class ValkeyCalls:
    """Calls of any number of threads to one server or cluster. Clients are made at the first call in a process."""

    def __init__(self, server: Server, pacer: Pacer | None = None, waiting: Waiting | None = None, call_s: float = CALL_S) -> None:
        """Opens nothing. A call that was not answered after `call_s` counts as lost."""
        self.server, self._call_s = server, call_s
        self._pacer = pacer
        self._waiting = waiting or Waiting()
        self.repeats = Repeats()
        self._lock = threading.Lock()
        self._clients: _Clients | None = None

    def __str__(self) -> str:
        """The server's place, without secrets."""
        return str(self.server)

    @property
    def is_cluster(self) -> bool:
        """Whether the server is a cluster's node."""
        return self._connected("asking the server for its mode").cluster is not None

    def nodes(self, doing: str) -> list[str]:
        """Names of the cluster's primaries; of a single server one that is empty."""
        return self._connected(doing).nodes()

    def node_of(self, key: bytes) -> str:
        """The name of the node that has the key's slot, as far as is known."""
        return self._connected("finding a key's node").node_of(key)

    def at(self, doing: str, node: str, *words: bytes | str | int) -> Any:  # noqa: ANN401 - its commands answer anything
        """The answer of one node. Raises as `each`."""
        (answer,) = self._repeated(doing, [Command(words, b"")], lambda clients, commands: _pipelined(clients, node, commands))
        return answer

    def each(self, doing: str, commands: Sequence[Command]) -> list[Any]:
        """The answers of the commands, which go out at once, node by node.

        Raises ServiceUnavailable after as many attempts as are allowed, UsageError if the user may not do that or the database is none, StoreFull if a server
        takes no more, RefusedError for a key that holds something else.
        """
        return self._repeated(doing, commands, _by_node)

    def _repeated(self, doing: str, commands: Sequence[Command], send: Callable[[_Clients, Sequence[Command]], list[Any]]) -> list[Any]:
        answers: list[Any] = [None] * len(commands)
        pending, failed = list(range(len(commands))), 0
        while pending:
            clients = self._connected(doing)
            taken_s = self._pacer.take(len(pending)) if self._pacer else 0.0
            sent = send(clients, [commands[place] for place in pending])
            if self._pacer:
                self._pacer.answered(len(pending), taken_s)
            for place, answer in zip(pending, sent, strict=True):
                answers[place] = answer
            pending = [place for place in pending if isinstance(answers[place], Exception)]
            if pending:
                failed += 1
                self._pause(doing, [answers[place] for place in pending], failed)
        return answers

    def _pause(self, doing: str, problems: Sequence[Exception], failed: int) -> None:
        """Wait before what failed is repeated; raise if it shall not be."""
        for problem in problems:
            if not isinstance(problem, _LATER) or isinstance(problem, _DENIED):
                raise self._final(doing, problem) from problem
        if self._pacer and any(isinstance(problem, TimedOut) for problem in problems):
            self._pacer.refused()
        delay_s = self._waiting.backoff.delay_s(failed, self._waiting.random())
        if delay_s is None:
            msg = f"{doing} at {self.server}: {failed} attempts, the last one ended with {type(problems[0]).__name__} ({problems[0]})"
            raise ServiceUnavailable(msg) from problems[0]
        for problem in problems:
            self.repeats.add(type(problem).__name__)
        self._waiting.sleep(delay_s)

    def _final(self, doing: str, problem: Exception) -> RollupsError:
        """What a problem means that no repetition would help."""
        what = f"{doing} at {self.server}: {problem}"
        if isinstance(problem, RollupsError):
            return problem
        if isinstance(problem, _DENIED) or any(one in str(problem) for one in _DENIALS):
            return UsageError(f"{what}; user and password are VALKEY_USERNAME and VALKEY_PASSWORD, what the user must be allowed is in docs/stores/valkey.md")
        if isinstance(problem, OutOfMemoryError) or "OOM" in str(problem):
            return StoreFull(f"{what}; make room and repeat the command with the same run id")
        if "DB index is out of range" in str(problem) or "SELECT is not allowed" in str(problem):
            return UsageError(f"{what}; name another database after the port, in a cluster 0")
        if "WRONGTYPE" in str(problem):
            return RefusedError(f"{what}; the layout (--valkey-key) names keys that something else uses")
        return RollupsError(what)

    def _connected(self, doing: str) -> _Clients:
        with self._lock:
            failed = 0
            while self._clients is None or self._clients.pid != os.getpid():
                try:
                    self._clients = _connect(self.server, self._call_s)
                except (ValkeyError, ValkeyClusterException) as problem:
                    failed += 1
                    self._pause(doing, [_underlying(problem)], failed)
            return self._clients


def _underlying(problem: Exception) -> Exception:
    """The cluster class wraps whatever kept it from connecting."""
    return problem if isinstance(problem, ValkeyError) else NotConnected(str(problem))


def _connect(server: Server, call_s: float) -> _Clients:
    options: dict[str, Any] = {"socket_timeout": call_s, "socket_connect_timeout": call_s}
    if server.tls:
        options |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if Environment.is_given():
        options["credential_provider"] = Environment()
    single = Valkey(host=server.host, port=server.port, db=server.db, **options)
    told: Any = single.info("server")
    if "cluster" not in (told.get("server_mode"), told.get("redis_mode")):
        return _Clients(single)
    if server.db:
        msg = f"the server at {server} is a cluster's node, and clusters have only the database 0: write {server.host}:{server.port}/0"
        raise UsageError(msg)
    return _Clients(single, ValkeyCluster(host=server.host, port=server.port, **options))


def _by_node(clients: _Clients, commands: Sequence[Command]) -> list[Any]:
    """Answers or exceptions, in the commands' order."""
    places: dict[str, list[int]] = {}
    for place, command in enumerate(commands):
        places.setdefault(clients.node_of(command.key), []).append(place)
    answers: list[Any] = [None] * len(commands)
    for node, some in places.items():
        for place, answer in zip(some, _pipelined(clients, node, [commands[place] for place in some]), strict=True):
            answers[place] = answer
    return answers


def _pipelined(clients: _Clients, node: str, commands: Sequence[Command]) -> list[Any]:
    """Answers or exceptions of one node, or of those to which it points."""
    answers = _sent(clients, node, [one.sent() for one in commands])
    unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        for place, answer in zip(unknown, _sent(clients, node, [commands[place].sent(whole=True) for place in unknown]), strict=True):
            answers[place] = answer
    for place, answer in enumerate(answers):
        if isinstance(answer, (AskError, TryAgainError)) and clients.cluster:  # MOVED is an ASK to the client
            answers[place] = _passed_on(clients.cluster, commands[place])
    return answers


def _sent(clients: _Clients, node: str, commands: Sequence[Sequence[bytes | str | int]]) -> list[Any]:
    def send() -> list[Any]:
        pipeline = clients.at(node).pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        return list(pipeline.execute(raise_on_error=False))

    answers = _tried(send)
    if isinstance(answers, Exception):
        if clients.cluster:
            _tried(clients.cluster.nodes_manager.initialize)  # a node that went may have left its slots to another one
        return [answers] * len(commands)
    return answers


def _passed_on(cluster: ValkeyCluster, command: Command) -> Any:  # noqa: ANN401 - its commands answer anything
    return _tried(lambda: cluster.execute_command(*command.sent(whole=True)))


def _tried(work: Callable[[], T]) -> T | Exception:
    """What the work answers, or what a client raises about a connection or an answer."""
    try:
        return work()
    except (ValkeyError, ValkeyClusterException) as problem:
        return _underlying(problem)
