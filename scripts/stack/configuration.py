"""The services' own configuration files, all of them private to one stack."""

import os
import shutil
from pathlib import Path
from typing import Final

from scripts.stack import settings, system
from scripts.stack.place import CHECKOUT, write_private
from scripts.stack.programs import Layout
from scripts.stack.subprocesses import run_quietly

POSTGRES: Final = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
max_connections = 60
shared_buffers = {shared_buffers}
password_encryption = 'scram-sha-256'
timezone = 'UTC'
idle_in_transaction_session_timeout = '15s'
deadlock_timeout = '500ms'
client_connection_check_interval = '1s'
tcp_keepalives_idle = 30
tcp_user_timeout = '15s'
log_min_duration_statement = '500ms'
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_line_prefix = '%m [%p] %a '
"""
# Statement and lock timeouts are the application's own: it sets them on its connections.
POSTGRES_THROWAWAY: Final = """\
max_connections = 200
fsync = off
synchronous_commit = off
full_page_writes = off
"""

REDIS: Final = """\
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
daemonize no
supervised no
set-proc-title no
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy noeviction
tcp-keepalive 60
protected-mode yes
databases 64
"""

RABBITMQ: Final = """\
listeners.tcp.default = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
heartbeat = 20
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 256MB
consumer_timeout = 1800000
max_message_size = 4194304
log.console = true
log.console.level = warning
log.file = false
"""

NGINX: Final = """\
{user}worker_processes 2;
worker_shutdown_timeout 5s;
daemon off;
pid {folder}/nginx.pid;
lock_file {folder}/nginx.lock;
error_log stderr crit;
events {{
    worker_connections 512;
}}
http {{
    include "{shared}/http.conf";
    access_log /dev/stdout ecs if=$ecs_worth_logging;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream api {{
        least_conn;
        server 127.0.0.1:{first} max_fails=0;
        server 127.0.0.1:{second} max_fails=0;
        keepalive 32;
        keepalive_timeout 60s;
    }}
    server {{
        listen 127.0.0.1:{port} default_server;
        include "{shared}/server.conf";
    }}
}}
"""


def write_all(layout: Layout) -> None:
    """Write every configuration file anew: ports may have changed since the last start."""
    initialise_postgres(layout)
    _write_postgres(layout)
    _write_redis(layout)
    _write_rabbitmq(layout)
    _write_nginx(layout)


def initialise_postgres(layout: Layout) -> None:
    """Create the database cluster once; a marker tells a finished one from a half-done one."""
    folder = layout.place.folder("postgres")
    data, finished = folder / "data", layout.place.home / "postgres-initialised"
    if finished.exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    password = write_private(folder / "password", layout.place.secrets()["superuser"])
    give_to_postgres(folder, password)
    command = [
        *(*as_postgres(), system.postgres_program("initdb"), "-D", str(data), "-U", "postgres"),
        *("-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password}"),
        *(["-N"] if layout.place.throwaway else []),
    ]
    run_quietly(command, folder=folder, environment={"LC_ALL": "C.UTF-8", "TZ": "UTC"})
    password.unlink()
    finished.touch()


def as_postgres() -> list[str]:
    """Return the words that turn root into PostgreSQL's user; nothing for anybody else."""
    user = system.postgres_user()
    if user is None:
        return []
    return [
        system.path_of("setpriv"),
        *(f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"),
    ]


def give_to_postgres(*paths: Path) -> None:
    """Hand files over to PostgreSQL's user when root runs the stack."""
    user = system.postgres_user()
    if user is not None:
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)


def _write_postgres(layout: Layout) -> None:
    folder = layout.place.home / "postgres"
    throwaway = layout.place.throwaway
    content = POSTGRES.format(
        port=layout.ports["postgres"],
        folder=folder,
        shared_buffers="64MB" if throwaway else "256MB",
    )
    file = folder / "data" / "postgresql.auto.conf"
    write_private(file, content + (POSTGRES_THROWAWAY if throwaway else ""))
    give_to_postgres(file)


def _write_redis(layout: Layout) -> None:
    folder = layout.place.folder("redis")
    content = REDIS.format(
        port=layout.ports["redis"],
        folder=folder,
        password=layout.place.secrets()["redis"],
    )
    write_private(folder / "redis.conf", content)


def _write_rabbitmq(layout: Layout) -> None:
    folder = layout.place.folder("rabbitmq")
    content = RABBITMQ.format(
        port=layout.ports["amqp"],
        user=settings.RABBITMQ_USER,
        password=layout.place.secrets()["rabbitmq"],
    )
    write_private(folder / "rabbitmq.conf", content)
    write_private(folder / "enabled_plugins", "[].\n")
    write_private(folder / "advanced.config", "[].\n")
    write_private(folder / "rabbitmq-env.conf", "")
    (folder / "conf.d").mkdir(exist_ok=True)


def _write_nginx(layout: Layout) -> None:
    folder = layout.place.folder("nginx")
    content = NGINX.format(
        # As root, Nginx would drop to a user who cannot enter the private folder.
        user="user root;\n" if os.getuid() == 0 else "",
        folder=folder,
        shared=CHECKOUT / "nginx",
        port=layout.ports["http"],
        first=layout.ports["api-1"],
        second=layout.ports["api-2"],
    )
    write_private(folder / "nginx.conf", content)
