"""From jobspec nextgen (YAML text) to a plan of Flux jobspecs. Pure: no clock, no I/O."""
