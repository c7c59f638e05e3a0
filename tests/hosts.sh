# shellcheck shell=bash
# Sourced by what tries or measures something on a scenario's hosts outside that scenario's own run.

# hosts STEP SCENARIO NAME   Molecule's step (create, or converge for the whole cluster) is done, and the hosts go when the script ends. Sets log.
hosts() {
    log=.ansible/logs/$3.log
    mkdir -p .ansible/logs
    # shellcheck disable=SC2064  # the scenario of now
    trap "molecule destroy --scenario-name '$2' >>'$log' 2>&1" EXIT
    echo "Molecule makes the hosts of the scenario $2: $1 (log: $log)"
    molecule "$1" --scenario-name "$2" >"$log" 2>&1 || { tail -n 60 "$log"; exit 1; }
}
