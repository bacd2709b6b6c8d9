#!/bin/sh
# Prints the first interpreter that is at least Python 3.MINOR and really runs: find_python.sh MINOR. Fails when there is none.
# A name on PATH is not enough: a pyenv shim may stand for a version that is not selected.
minor=$1
runs() { "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $minor))" >/dev/null 2>&1; }

for candidate in "$PYTHON" python3.12 python3.13 python3.11 python3 python3.14 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python3; do
    if [ -n "$candidate" ] && runs "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
exit 1
