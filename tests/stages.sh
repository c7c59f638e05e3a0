# shellcheck shell=bash
# Sourced by tests/demo and tests/all: runs named stages one after the other, shows which one it is in, keeps each one's
# output in a file, and ends with a table of minutes.

stage_names=()
stage_seconds=()
stage_results=()
stage_logs=.ansible/logs
stage_begin=$SECONDS
mkdir -p "$stage_logs"

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# stage NAME COMMAND...   A failure shows the end of its output, and the table, and ends the run.
stage() {
    local name=$1 log=$stage_logs/${1// /-}.log from=$SECONDS pid result=0 shown='' now
    shift
    printf '== %s\n' "$name"
    # A process group of its own: who stops the run stops everything that the stage has started.
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    trap 'kill -- "-$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        now=$(grep -aoE '^(TASK|PLAY|INFO) .*' "$log" 2>/dev/null | tail -n 1 | sed -E 's/ \*+$//' | cut -c 1-100) || true
        if [[ -t 1 ]]; then
            printf '\r\033[K   %s  %s' "$(clock $((SECONDS - from)))" "$now"
        elif [[ $now != "$shown" ]] && (((SECONDS - from) % 30 == 0)); then
            printf '   %s  %s\n' "$(clock $((SECONDS - from)))" "$now"
            shown=$now
        fi
    done
    wait "$pid" || result=$?
    trap - INT TERM
    if [[ -t 1 ]]; then printf '\r\033[K'; fi
    stage_names+=("$name")
    stage_seconds+=($((SECONDS - from)))
    if ((result == 0)); then
        stage_results+=(passed)
        printf '   passed in %s\n' "$(clock $((SECONDS - from)))"
    else
        stage_results+=(FAILED)
        printf '   FAILED after %s. What failed, of %s:\n' "$(clock $((SECONDS - from)))" "$log"
        # The tests' names first: what each of them compared can be long.
        {
            grep -aE '^(fatal: |failed: |FAILED |ERROR )' "$log" | tail -n 20
            grep -aE '^E   ' "$log" | head -n 20
        } | cut -c 1-600 | sed 's/^/   ! /' || true
        printf '   its end:\n'
        tail -n "${STAGE_TAIL:-60}" "$log" | sed 's/^/   | /'
        stage_table
        return 1
    fi
}

stage_table() {
    local index
    printf '\n%-40s %8s  %s\n' stage minutes result
    for index in "${!stage_names[@]}"; do
        printf '%-40s %8s  %s\n' "${stage_names[index]}" "$(clock "${stage_seconds[index]}")" "${stage_results[index]}"
    done
    printf '%-40s %8s\n\n' total "$(clock $((SECONDS - stage_begin)))"
}
