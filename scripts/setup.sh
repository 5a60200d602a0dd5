#!/bin/sh
# Makes .venv and installs requirements.lock into it, every version pinned, or requirements.txt where that does not fit.
# Does nothing, quickly, when all is up to date.
# PYTHON names the interpreter to make it with.
set -eu
cd "$(dirname "$0")/.."

works() {  # a command or path: Python 3.11 or later, with $2 importable
    "$1" -c "import sys, $2; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1
}

if ! works .venv/bin/python pip; then
    found=
    for python in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        if works "$python" venv; then found=$python; break; fi
    done
    if [ -z "$found" ]; then
        echo "afterimage: Python 3.11 or later is needed; install it, or name it: make run PYTHON=/path/to/python3" >&2
        exit 1
    fi
    echo "Making .venv with $("$found" --version)."
    if ! "$found" -m venv --clear .venv; then
        rm -rf .venv
        echo "afterimage: .venv could not be made (on Debian and Ubuntu: apt install python3-venv)." >&2
        exit 1
    fi
fi

asked() {  # all that is to be installed, to see whether it has changed
    for list in requirements.lock requirements.txt; do
        if [ -f "$list" ]; then cat "$list"; fi
    done
}

install() {
    .venv/bin/python -m pip install --disable-pip-version-check --quiet "$@"
}

# The copy is made last: an installation that was cut short is taken up again. Both files together: pip refuses a lock
# that has fallen behind requirements.txt, as it does one that does not fit this platform.
if ! asked | cmp -s - .venv/installed.txt; then
    echo "Installing the packages of requirements.txt into .venv; the first time takes minutes."
    if [ ! -f requirements.lock ]; then
        install -r requirements.txt
    elif ! install -r requirements.lock -r requirements.txt 2>.venv/lock.log; then
        echo "requirements.lock does not fit here (.venv/lock.log says why), so what lies below requirements.txt is not pinned."
        install -r requirements.txt
    fi
    asked >.venv/installed.txt
fi
