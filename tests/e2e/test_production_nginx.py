"""Production's Nginx file, read by the Nginx of this machine."""

import subprocess
from pathlib import Path

from scripts.stack import Stack, system
from scripts.stack.place import CHECKOUT

RESOLVED = "server api:8000 resolve max_fails=0;"


def read_by_nginx(folder: Path, upstream: str) -> str:
    """What ``nginx -t`` says about the file, with another line for the instances."""
    for name in ("http.conf", "server.conf"):
        (folder / name).write_text((CHECKOUT / "nginx" / name).read_text())
    text = (CHECKOUT / "nginx/nginx.conf").read_text()
    assert text.count(RESOLVED) == 1
    text = text.replace(RESOLVED, upstream).replace(" /tmp/", f" {folder}/")
    # Even a check takes the ports; those of this machine may be taken.
    text = text.replace("listen 8080", f"listen unix:{folder}/door")
    text = text.replace("listen 127.0.0.1:8081", f"listen unix:{folder}/health")
    (folder / "nginx.conf").write_text(text)
    nginx = system.find("nginx")
    assert nginx is not None
    command = [nginx, "-t", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


# Debian's Nginx is older than `resolve`; tests/unit/test_containers.py holds the image to 1.27.3.
def test_is_well_formed_but_for_what_is_newer_than_this_nginx(stack: Stack, tmp_path: Path) -> None:
    said = read_by_nginx(tmp_path, "server 127.0.0.1:8000 max_fails=0;")
    assert "test is successful" in said
    assert "[warn]" not in said


def test_a_mistake_in_it_would_be_seen(stack: Stack, tmp_path: Path) -> None:
    assert "test failed" in read_by_nginx(tmp_path, "server 127.0.0.1:8000 max_fail=0;")
