"""Run a command that opens windows, also where there is no display.

    python .ci/headless.py COMMAND [ARGUMENT ...]

On macOS, Windows and a Linux desktop it runs the command and no more. On Linux without a display it runs it under
`xvfb-run`. Where apt-get exists, the system libraries that Qt and OpenGL load are looked for first: what is missing is
installed for root, and named with the command to install it for everybody else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

LIBRARIES = [
    *("libdbus-1-3", "libegl1", "libfontconfig1", "libgl1", "libglib2.0-0", "libopengl0", "libxkbcommon-x11-0"),
    *("libxcb-cursor0", "libxcb-icccm4", "libxcb-image0", "libxcb-keysyms1", "libxcb-render-util0"),
    *("libxcb-shape0", "libxcb-xinerama0"),
]
# Mesa draws OpenGL without a graphics card; Debian only recommends it, and xauth, to those who install xvfb.
VIRTUAL_DISPLAY = ["libgl1-mesa-dri", "xauth", "xvfb"]


def main(command: list[str]) -> int:
    """Run `command` where it can open windows and give back its exit code."""
    if not sys.platform.startswith("linux"):
        return subprocess.run(command, check=False).returncode
    headless = not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if shutil.which("apt-get"):
        provide([*LIBRARIES, *(VIRTUAL_DISPLAY if headless else [])])
    if not headless:
        return subprocess.run(command, check=False).returncode
    if not shutil.which("xvfb-run"):
        print("There is no display and no xvfb-run. Install xvfb with your package manager, or run this on a desktop.")
        return 1
    return subprocess.run(["xvfb-run", "--auto-servernum", *command], check=False).returncode


def provide(packages: list[str]) -> None:
    """Install those of `packages` that dpkg does not have, or say how to."""
    missing = [package for package in packages if not installed(package)]
    if not missing:
        return
    if os.geteuid() != 0:
        print(f"Windows may fail to open until you run: sudo apt-get install {' '.join(missing)}", flush=True)
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A dead third-party list fails the update; the packages may be known all the same, so the install decides.
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
    subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", *missing], env=quiet, check=True)


def installed(package: str) -> bool:
    """Whether dpkg has `package`, or its successor of Ubuntu 24.04 and Debian 13 with the ending `t64`."""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}\n", package, f"{package}t64"]
    return "installed\n" in subprocess.run(query, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
