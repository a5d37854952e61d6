# As spack's own: makes `spack load` change this shell.
spack() {
    if [ "$1" = load ]; then
        PATH=$(cat "/opt/spack-store/$2/path") && export PATH
    else
        command spack "$@"
    fi
}
