#!/bin/sh
# Builds the rainbow scheduler. It needs Go and a C compiler (cgo: sqlite3).
#
# usage: install-rainbow.sh VERSION BIN
#   VERSION  a tag or commit of github.com/converged-computing/rainbow
#   BIN      the folder for the program
set -eu

version=$1
bin=$2

mkdir -p "$bin"
CGO_ENABLED=1 GOBIN="$bin" go install -trimpath -ldflags="-s -w" \
    "github.com/converged-computing/rainbow/cmd/server@$version"
mv "$bin/server" "$bin/rainbow-scheduler"
