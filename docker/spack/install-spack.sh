#!/bin/sh
# Installs spack at one version, with its install tree on a path that a volume can be mounted at.
#
# usage: install-spack.sh REPOSITORY VERSION PREFIX STORE
#   REPOSITORY  where git clones spack from
#   VERSION     a tag or branch
#   PREFIX      spack's own folder ($SPACK_ROOT), for example /opt/spack
#   STORE       the install tree. In a MiniCluster it is a volume: every pod sees what one of them
#               has installed, and it outlives the pods
set -eu

repository=$1
version=$2
prefix=$3
store=$4

git -c advice.detachedHead=false clone --quiet --depth 1 --branch "$version" \
    "$repository" "$prefix"
rm -rf "$prefix/.git"

mkdir -p "$prefix/etc/spack/site" "$store"
cat >"$prefix/etc/spack/site/config.yaml" <<CONFIG
config:
  install_tree:
    root: $store
  build_stage:
  - /tmp/spack-stage
CONFIG

"$prefix/bin/spack" --version
