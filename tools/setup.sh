#!/bin/sh
# Makes a virtual environment match its pins: setup.sh VENV LEVEL PYTHON -- REQUIREMENT...
# The stamp in the environment is the digest of all that decides what is installed, so a second call does nothing.
set -eu
venv=$1 level=$2 python=$3
shift 4

constraints=constraints.txt
[ -f "constraints-$level.txt" ] && constraints=constraints-$level.txt
digest=$(cat pyproject.toml constraints.txt "$constraints" "$0" | cksum)
matches() { [ -f "$venv/.stamp-$1" ] && [ "$(cat "$venv/.stamp-$1")" = "$digest" ]; }
if "$venv/bin/python" -c "" 2>/dev/null; then
    if matches "$level" || { [ "$level" = demo ] && matches dev; }; then  # what development has, the demo has too
        exit 0
    fi
fi

echo "Setting up $venv ($level) with $python"
"$venv/bin/python" -c "import pip" 2>/dev/null || "$python" -m venv --clear "$venv"
# uv takes 8 s for LocalStack where pip takes 190; pip takes over where uv cannot reach an index, and finds every torch.
if [ "$level" != localstack ] ||
    ! .venv/bin/uv pip install --quiet --python "$venv/bin/python" --constraint "$constraints" "$@"; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" "$@"
fi
printf '%s' "$digest" >"$venv/.stamp-$level"
