"""The daemon over HTTP, to read: health, metrics, status and a page. It knows no socket."""
