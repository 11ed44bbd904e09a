"""A virtual machine with a kernel of Debian, where the whole cgroup v2 tree is ours.

It shares the tree of the tests' Python image, the repository and the packages of the interpreter that runs the tests,
all read-only, and has a disk of its own for ``/tmp``. It is emulated: it takes no rights of this machine's processor.
It boots in some seconds.
"""

from __future__ import annotations

import gzip
import platform
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from tests.engines.process import container_check
from tests.services import install
from tests.services.common import (
    ServiceUnavailableError,
    cache_dir,
    end_process,
    is_root,
    may_install,
    one_process_at_a_time,
    run,
    wait_until,
)

MEMORY_MB = 1024
DISK_MB = 1024
_SHARES = "/usr/lib/qemu/virtiofsd"
_PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    _SHARES: "qemu-system-common",
    "busybox": "busybox-static",
    "mkfs.ext4": "e2fsprogs",
}
"""What is needed, and what brings it; only this long test needs the first two."""
_KERNEL = "linux-image-cloud-amd64"
_MODULES = (
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "fs/overlayfs/overlay.ko",
    "fs/fuse/fuse.ko",
    "fs/fuse/virtiofs.ko",
)
_INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mkdir -p /proc /root
$B mount -t proc proc /proc
for module in {modules}; do $B insmod /$module; done
$B mount -t virtiofs -o ro root /root
$B mount -t proc proc /root/proc
$B mount -t sysfs sys /root/sys
$B mount -t devtmpfs dev /root/dev
$B mkdir -p /root/dev/shm
$B mount -t tmpfs shm /root/dev/shm
$B mount -t ext4 /root/dev/vda /root/tmp
$B chmod 1777 /root/tmp
$B mount -t cgroup2 none /root/sys/fs/cgroup
$B ip link set lo up
exec $B switch_root /root /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 \\
  PYTHONPATH=/source:/packages /usr/bin/python3 {command}
"""


def boot(command: str, *, timeout_s: float) -> str:
    """Run ``python3 COMMAND`` as the first process of a guest, which it switches off; return what the console showed.

    Raises
    ------
    ServiceUnavailableError
        The guest can't be made here, or did not come to its end.
    """
    if (missing := _missing()) and may_install() and is_root():
        install.install(missing)
        missing = _missing()
    if missing:
        raise ServiceUnavailableError(f"not installed: {', '.join(missing)}")
    if platform.machine() != "x86_64":
        raise ServiceUnavailableError("the guest's kernel is for x86_64")
    kernel = _kernel()
    with (
        container_check.image_tree(system=False) as root,
        tempfile.TemporaryDirectory(prefix="guest-") as scratch,
    ):
        place = Path(scratch)
        (place / "initrd").write_bytes(_initrd(kernel, command))
        _make_disk(place / "disk")
        # The tests make an image of it.
        shutil.copy(shutil.which("busybox") or "", root / "usr/bin/busybox")
        socket = place / "share"
        share = subprocess.Popen(
            [_SHARES, f"--socket-path={socket}", "-o", f"source={root},sandbox=chroot,cache=always"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not wait_until(socket.exists, timeout_s=60):
                raise ServiceUnavailableError("virtiofsd does not start here")
            image = next((kernel / "boot").glob("vmlinuz-*"))
            return run(_machine(image, place, socket), timeout_s=timeout_s)
        finally:
            end_process(share, timeout_s=30)


def _missing() -> list[str]:
    return [package for program, package in _PACKAGES.items() if shutil.which(program) is None]


def _make_disk(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(DISK_MB << 20)
    run(["mkfs.ext4", "-q", "-m", "0", str(file)], timeout_s=60)


def _machine(kernel: Path, place: Path, share: Path) -> list[str]:
    memory = f"memory-backend-memfd,id=memory,size={MEMORY_MB}M,share=on"
    return [
        "qemu-system-x86_64",
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MB)),
        *("-object", memory, "-numa", "node,memdev=memory"),
        *("-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio"),
        *(
            "-kernel",
            str(kernel),
            "-initrd",
            str(place / "initrd"),
            "-append",
            "console=ttyS0 quiet panic=-1",
        ),
        *("-drive", f"if=virtio,format=raw,cache=unsafe,file={place / 'disk'}"),
        *("-chardev", f"socket,id=share,path={share}", "-device", "vhost-user-fs-pci,chardev=share,tag=root"),
    ]


def _kernel() -> Path:
    """Return the unpacked package of a kernel."""
    place = cache_dir() / "guest-kernel"
    with one_process_at_a_time("guest-kernel"):
        if not place.exists():
            _unpack_kernel(place)
    return place


def _unpack_kernel(place: Path) -> None:
    depends = run(["apt-cache", "depends", "--important", _KERNEL], timeout_s=60)
    names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise ServiceUnavailableError(f"no package {_KERNEL} is known here")
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        fetch = ["/bin/sh", "-c", 'cd "$1" && apt-get download -q "$2"', "sh", scratch, names[0]]
        run(fetch, timeout_s=300)
        made = Path(scratch) / "made"
        run(["dpkg", "-x", str(next(Path(scratch).glob("*.deb"))), str(made)], timeout_s=120)
        made.rename(place)


def _initrd(kernel: Path, command: str) -> bytes:
    modules = next((kernel / "lib/modules").iterdir()) / "kernel"
    names = [each.rpartition("/")[2] for each in _MODULES]
    init = _INIT.format(modules=" ".join(names), command=command).encode()
    files = [
        ("bin", stat.S_IFDIR | 0o755, b""),
        ("bin/busybox", stat.S_IFREG | 0o755, Path(shutil.which("busybox") or "").read_bytes()),
        ("init", stat.S_IFREG | 0o755, init),
        ("dev", stat.S_IFDIR | 0o755, b""),
        *(
            (name, stat.S_IFREG | 0o644, (modules / path).read_bytes())
            for name, path in zip(names, _MODULES, strict=True)
        ),
        ("TRAILER!!!", 0, b""),
    ]
    return gzip.compress(b"".join(_entry(number, *each) for number, each in enumerate(files, 1)), 1)


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    """Return one member of a cpio archive in the kernel's format (newc)."""
    text = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(text), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + text
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
