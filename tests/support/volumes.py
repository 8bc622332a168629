"""Small file systems for tests that fill disks or let them fail. Root only.

    if reason := volumes.why_not():            # before anything else: it may run the script anew
        print(f"SKIPPED: {reason}")
        sys.exit(77)
    with volumes.tmpfs(64 << 20) as disk:
        disk.fill()                            # nothing more fits
        disk.free()

The script gets mounts of its own, which nobody else sees; they, and their loop devices, end with it
at the latest.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ISOLATED = "TALLY_TEST_MOUNTS"


def why_not(*tools):
    """Why nothing can be mounted here; nothing when it can."""
    if os.geteuid() != 0:
        return "only root may mount"
    for tool in ("unshare", "mount", *tools):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if os.environ.get(ISOLATED):
        return ""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    tried = subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"],
                           capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"mounts are not possible: {tried.stderr.strip()}"
    os.environ[ISOLATED] = "yes"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def run(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command}: {done.stdout}{done.stderr}")


class Volume:
    """A mounted file system; `path` is where."""

    def __init__(self, path):
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self):
        """Writes until nothing more fits."""
        with open(self._ballast, "ab", buffering=0) as ballast:
            for size in (1 << 20, 4096, 512):
                with contextlib.suppress(OSError):
                    while True:
                        ballast.write(bytes(size))
                with contextlib.suppress(OSError):
                    os.fsync(ballast.fileno())  # it may have been refused only later

    def free(self):
        self._ballast.unlink()


@contextlib.contextmanager
def mounted(*arguments):
    path = pathlib.Path(tempfile.mkdtemp(prefix="tally-test-"))
    try:
        run("mount", *arguments, path)
        try:
            yield Volume(path)
        finally:
            run("umount", path)
    finally:
        path.rmdir()


def tmpfs(size):
    return mounted("-t", "tmpfs", "-o", f"size={size}", "none")


@contextlib.contextmanager
def image_file(folder, size, *make):
    """A sparse file with the file system that `make`, such as "mkfs.ext4", makes in it."""
    path = pathlib.Path(folder) / "image"
    with open(path, "wb") as file:
        file.truncate(size)
    try:
        run(*make, path)
        yield path
    finally:
        path.unlink()


def loop(image):
    """Mounts an image file; its loop device ends with the mount."""
    return mounted("-o", "loop", image)
