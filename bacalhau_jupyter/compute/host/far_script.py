"""The one shell script that asks a machine elsewhere what it has; pure: its text, and what its answer means.

It suits any POSIX shell. Each part of the answer stands behind a line with a mark that is new for each question: a
login shell may print what it likes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from bacalhau_jupyter.compute.host.gpus import (
    AMD_CALL,
    INTEL_CALL,
    MOST_GPUS,
    NOTHING_THERE,
    NVIDIA_CALL,
    ToolFailed,
)

_TOOL_S = 10
_KIB = 1024

_SCRIPT = """\
PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/usr/local/cuda/bin:/opt/rocm/bin; export PATH
LC_ALL=C; export LC_ALL
limit() { if command -v timeout >/dev/null 2>&1; then timeout @seconds@ "$@"; else "$@"; fi; }
part() { printf '\\n%s %s\\n' @mark@ "$1"; }
ended() { printf '\\n%s exit %s\\n' @mark@ "$1"; }
part begin
part date; date +%s.%N
part uname; uname -sm
part load; cat /proc/loadavg 2>/dev/null
part memory; cat /proc/meminfo 2>/dev/null
part disk; df -PB1 @root@ 2>/dev/null || df -PB1 / 2>/dev/null
if command -v nvidia-smi >/dev/null 2>&1; then
  part 'nvidia-smi'; limit nvidia-smi @nvidia@ 2>&1 </dev/null; ended $?
  part 'used'; limit nvidia-smi --query-gpu=index,memory.used --format=csv,noheader,nounits 2>/dev/null </dev/null
fi
if command -v rocm-smi >/dev/null 2>&1; then
  part 'rocm-smi'; limit rocm-smi @amd@ 2>&1 </dev/null; ended $?
fi
if command -v xpu-smi >/dev/null 2>&1; then
  part 'xpu-smi'; limit xpu-smi @intel@ 2>&1 </dev/null; ended $?
  for number in 0 1 2 3 4 5 6 7; do
    part "xpu-smi $number"; limit xpu-smi @intel@ --device "$number" 2>&1 </dev/null; ended $?
  done
fi
part devices
for file in /dev/dri/by-path/pci-*-card /dev/dri/by-path/pci-*-render; do
  [ -e "$file" ] && printf '%s %s\\n' "$file" "$(readlink -f "$file")"
done
[ -e /dev/kfd ] && echo kfd /dev/kfd
part end
"""

_LINK = re.compile(
    r"/dev/dri/by-path/pci-([0-9a-f:.]+)-(?:card|render) /dev/(dri/(?:card|renderD)\d+)", re.ASCII
)


def script(mark: str, root: str) -> str:
    """Return the script.

    Parameters
    ----------
    mark
        A word that nothing else prints.
    root
        A directory on the disk that containers fill.
    """
    words = {
        "seconds": str(_TOOL_S),
        "mark": mark,
        "root": shlex.quote(root or "/"),
        "nvidia": shlex.join(NVIDIA_CALL),
        "amd": shlex.join(AMD_CALL),
        "intel": shlex.join(INTEL_CALL),
    }
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], _SCRIPT)


@dataclass(frozen=True)
class Answer:
    """What the script printed, in parts.

    Attributes
    ----------
    parts
        Name → text.
    codes
        Exit codes of vendors' tools by their part.
    """

    parts: Mapping[str, str]
    codes: Mapping[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether the script came to its end."""
        return "end" in self.parts

    async def ask(self, tool: str, *arguments: str) -> str:
        """Return what a vendor's tool printed; empty when it is missing or knows of no device.

        Raises
        ------
        ToolFailed
            It is there and failed, or took too long.
        """
        device = f" {arguments[-1]}" if "--device" in arguments else ""
        name = f"{tool}{device}"
        text = self.parts.get(name, "")
        code = self.codes.get(name, 0)
        if NOTHING_THERE in text.lower():
            return ""
        if code == 124:
            raise ToolFailed(f"it did not answer within {_TOOL_S}s")
        if code:
            raise ToolFailed(f"it failed with exit code {code}")
        return text

    @property
    def disk(self) -> int:
        """Free bytes."""
        lines = self.parts.get("disk", "").strip().splitlines()
        words = lines[-1].split() if lines else []
        return _number(words[3]) if len(words) >= 6 else 0

    @property
    def memory(self) -> tuple[int, int]:
        """All and free bytes of memory; 0 where it is unknown."""
        amounts = dict(
            re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", self.parts.get("memory", ""), re.MULTILINE)
        )
        return _number(amounts.get("MemTotal")) * _KIB, _number(amounts.get("MemAvailable")) * _KIB

    @property
    def load(self) -> float:
        """The load average of the last minute; below 0 where it is unknown."""
        words = self.parts.get("load", "").split()
        return float(words[0]) if words and re.fullmatch(r"\d{1,6}\.\d+", words[0], re.ASCII) else -1.0

    @property
    def platform(self) -> tuple[str, str]:
        """System and architecture, as the kernel calls them."""
        system, _, machine = self.parts.get("uname", "").strip().partition(" ")
        return system, machine

    @property
    def busy_gpus(self) -> set[int]:
        """NVIDIA's GPUs of which a program, in a container or not, uses memory."""
        busy = set()
        for line in self.parts.get("used", "").splitlines():
            index, _, used = (word.strip() for word in line.partition(","))
            if index.isdecimal() and used.isdecimal() and int(used) > _BUSY_MIB:
                busy.add(int(index))
        return busy

    @property
    def device_files(self) -> dict[str, list[str]]:
        """Files below ``/dev`` by PCI address; what all of AMD's need stands under ``kfd``."""
        files: dict[str, list[str]] = {}
        for line in self.parts.get("devices", "").splitlines()[: 2 * MOST_GPUS + 1]:
            if line.strip() == "kfd /dev/kfd":
                files["kfd"] = ["kfd"]
            elif match := _LINK.fullmatch(line.strip()):
                files.setdefault(match[1], []).append(match[2])
        return files


_BUSY_MIB = 500


def read(text: str, mark: str) -> Answer:
    """Take an answer apart; what stands before its beginning or behind its end is dropped."""
    parts: dict[str, list[str]] = {}
    codes: dict[str, int] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith(f"{mark} "):
            word = line.removeprefix(f"{mark} ").strip()
            if word.startswith("exit ") and name:
                codes[name] = _number(word.removeprefix("exit "))
                name = ""
            elif not parts and word != "begin":
                continue
            else:
                name = word
                parts.setdefault(name, [])
        elif name and "end" not in parts:
            parts[name].append(line)
    return Answer({name: "\n".join(lines).strip() for name, lines in parts.items()}, codes)


def _number(text: object) -> int:
    words = str(text or "")
    return int(words) if words.isascii() and words.isdigit() and len(words) < 20 else 0
