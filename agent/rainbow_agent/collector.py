"""Python's collector of reference cycles, in a process that stays."""

from __future__ import annotations

import gc
from typing import Final

#: New objects between two looks at the young ones; Python's own 700 suits small programs.
YOUNG: Final = 20_000


def spare() -> None:
    """Leave alone what is there now, and look at the rest seldom.

    To be called once, when all that stays for good has been made. We make few cycles, and the
    collector took a quarter of our processor time while 1,000 jobs came in at once, most of it for
    looking through modules that never go (gc.freeze() in Python's documentation).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
