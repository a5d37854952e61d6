#!/bin/sh
# Starts the rainbow scheduler with secrets from files.
#
#   SCHEDULER_SECRET_FILE  the registration secret (/run/secrets/rainbow/secret). It never becomes
#                          an argument, which `ps` would show: the scheduler reads it from a file
#   SCHEDULER_TOKEN_FILE   the token for all clusters. If empty, or if there is no such file, each
#                          cluster gets its own token. The scheduler accepts it as an argument
#                          only, so anyone who can list its processes can see it
#   SCHEDULER_ADDRESS      host:port to listen on (:8080)
#   SCHEDULER_DATABASE     sqlite file (/data/rainbow.db)
#   SCHEDULER_TLS_DIR      a folder with ca.crt, tls.crt and tls.key: mutual TLS, as cert-manager
#                          writes it. If empty, no TLS
#   SCHEDULER_RUN_DIR      a private folder in memory (/run/rainbow)
#
# Arguments are passed on to the scheduler.
set -eu

secret_file=${SCHEDULER_SECRET_FILE:-/run/secrets/rainbow/secret}
token_file=${SCHEDULER_TOKEN_FILE:-}
address=${SCHEDULER_ADDRESS:-:8080}
database=${SCHEDULER_DATABASE:-/data/rainbow.db}
tls=${SCHEDULER_TLS_DIR:-}
run=${SCHEDULER_RUN_DIR:-/run/rainbow}

fail() {
    echo "rainbow-entrypoint: $1" >&2
    exit 2
}

[ -r "$secret_file" ] || fail "SCHEDULER_SECRET_FILE=$secret_file cannot be read: mount the secret that registers clusters there"
secret=$(cat "$secret_file")
[ -n "$secret" ] || fail "SCHEDULER_SECRET_FILE=$secret_file is empty: write the secret that registers clusters into it"
case $secret in
*[![:print:]]*) fail "SCHEDULER_SECRET_FILE=$secret_file holds more than one line of text: a secret is one line" ;;
peanutbutta) echo "rainbow-entrypoint: WARNING: the registration secret is the one of the example manifests, which everybody can read; set one of your own" >&2 ;;
esac

token=
if [ -n "$token_file" ] && [ -e "$token_file" ]; then
    token=$(cat "$token_file")
fi

[ -w "$(dirname "$database")" ] || fail "SCHEDULER_DATABASE=$database: its folder cannot be written to by $(id -u): give the volume to this user"

umask 077
mkdir -p "$run"
# Inside single quotes, YAML has one special character: the quote itself, which is doubled.
printf "scheduler:\n  secret: '%s'\n" "$(printf %s "$secret" | sed "s/'/''/g")" >"$run/config.yaml"

if [ -n "$tls" ]; then
    for name in ca.crt tls.crt tls.key; do
        [ -r "$tls/$name" ] || fail "SCHEDULER_TLS_DIR=$tls: $name is not there or cannot be read"
    done
    set -- --ca-cert "$tls/ca.crt" --cert "$tls/tls.crt" --key "$tls/tls.key" "$@"
fi

# With an empty --secret the one in the file is used.
exec rainbow-scheduler --host "$address" --db "$database" --name rainbow \
    --config "$run/config.yaml" --secret "" --global-token "$token" "$@"
