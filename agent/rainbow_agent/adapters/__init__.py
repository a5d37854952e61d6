"""Everything that speaks to the world outside: rainbow, Flux, the disk, the clock, systemd."""
