"""The page as one document."""

from __future__ import annotations

import re
from collections import Counter

from rainbow_agent.monitoring.http.document import SCRIPTS, STYLES, document

#: What the page is made of is read and run by every browser at each visit.
MAX_BYTES = 64 * 1024


def test_it_needs_nothing_from_elsewhere() -> None:
    """No address but that of a name space; the policy allows no other either."""
    page = document()
    text = page.body.decode()
    found = set(re.findall(r"https?://[^\s\"'<>`]+", text))
    assert found == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy
    assert not re.search(r"/\*(STYLE|SCRIPT)\*/", text)
    assert len(page.body) < MAX_BYTES


def test_its_scripts_share_one_name_space_and_no_name() -> None:
    """A function that is defined twice would silently take the place of the first."""
    text = document().body.decode()
    names = re.findall(r"^(?:async )?function (\w+)|^(?:const|let) (\w+)", text, re.MULTILINE)
    twice = [name for name, n in Counter(a or b for a, b in names).items() if n > 1]
    assert len(names) > 40
    assert twice == []
    assert len(SCRIPTS) > len(STYLES) > 0
