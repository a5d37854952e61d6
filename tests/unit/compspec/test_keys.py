"""The schema of the values: probes give nothing else, and the operator can set nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from rainbow_compspec import keys, overrides, probes
from rainbow_compspec.cli import main
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.keys import KEYS, Kind
from rainbow_compspec.recorded import RecordedHost

REPOSITORY = Path(__file__).parents[3]
HOSTS = sorted(path.parent.name for path in REPOSITORY.glob("tests/fixtures/hosts/*/host.json"))

#: What fits no number, whatever it is of.
NO_NUMBERS = (
    "many",
    "",
    " ",
    "-1",
    "+1",
    "1e3",
    "0x10",
    "1 2",
    "1,2",
    "nan",
    "none",
    "٣",
    "9" * 20,
)
#: For each kind: what fits, and what does not.
VALUES: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    keys.PIECES: (("1", "65536"), (*NO_NUMBERS, "0", "65537", "1.5")),
    keys.COUNT: (("0", "65536"), (*NO_NUMBERS, "65537", "1.5")),
    keys.NUMBER: (("0", str(2**63 - 1)), (*NO_NUMBERS, str(2**63), "1.5")),
    keys.BYTES: (("0", "68719476736"), (*NO_NUMBERS, "64G", "64 GiB", "64kB", "1.5")),
    keys.DECIMAL: (("0", "3.5", "16"), (*NO_NUMBERS, ".5", "1.", "1.5.0", "max")),
    keys.YES_NO: (("yes", "no"), ("", "true", "1", "Yes", "maybe")),
    keys.CPU_LIST: (("0", "0-3,8", "1,2"), ("", "a", "0-", "0,,1", "0-3;8", "-1", "0 1")),
    keys.RATE: (("200 Gb/sec (4X HDR)", "2.5 Gb/sec"), ("", "200", "fast", "200 GB/s")),
    keys.TEXT: (("Our CPU", "", "CPU µ"), ("two\nlines", "\x1b[31m", "a\tb", "\udcff", "\0")),
    keys.CORE: (
        ("socket=0", "socket=0 numa=1 cpus=0,64"),
        ("", "0", "numa=0", "socket=a", "socket=-1", "socket=0 cpus=x", "socket=0 sock=1"),
    ),
    keys.PACKAGE: (
        ("name=ior", "name=ior version=3.3.0 explicit=yes"),
        ("", "ior", "version=3", "name=", "name=ior explicit=1", "name=ior colour=red"),
    ),
}


def table() -> Iterator[tuple[str, str, Kind]]:
    """Probe, a key of it, its kind."""
    for probe, kinds in KEYS.items():
        for kind, written in kinds.items():
            for key in written.split():
                yield probe, key.replace("<n>", "0").replace("<name>", "a.b1"), kind


@pytest.mark.parametrize(
    ("probe", "key", "kind"), [pytest.param(*row, id=".".join(row[:2])) for row in table()]
)
def test_each_key_takes_what_fits_and_nothing_else(probe: str, key: str, kind: Kind) -> None:
    """The message names the key, the value, and what to write."""
    fit, unfit = VALUES[kind]
    for value in fit:
        overrides.check({probe: {key: value}})
    for value in unfit:
        with pytest.raises(CompspecError) as caught:
            overrides.check({probe: {key: value}})
        told = str(caught.value)
        assert told.startswith(f"override for {probe}.{key} ({overrides.PREFIX}{probe.upper()}__")
        assert f"write {kind.what}" in told
        assert kind.example in told
        assert told.endswith(repr(value))


def test_every_example_fits() -> None:
    """What a message tells to write can be written."""
    for kind in VALUES:
        assert not kind.example or kind.fits(kind.example.partition(" for ")[0])


@pytest.mark.parametrize("name", HOSTS)
def test_probes_give_only_what_the_schema_knows(
    name: str, recorded: Callable[[str], RecordedHost]
) -> None:
    """What a machine says of itself could be set to that."""
    for probe, reading in probes.run(recorded(name)).items():
        rows = {
            f"{t}.{row}": entry for t, rows in reading.tables.items() for row, entry in rows.items()
        }
        overrides.check({probe: {**reading.values, **rows}})


def test_there_is_a_schema_of_each_probe() -> None:
    """And of no other."""
    assert KEYS.keys() == probes.PROBES.keys()


@pytest.mark.parametrize(
    ("probe", "key", "advice"),
    [
        ("cpu", "coures", "perhaps cores is meant"),
        ("gpu", "0.modell", "perhaps <n>.model is meant"),
        ("gpu", "x.model", "perhaps model is meant"),
        ("mpi", "zzz", "there are implementation, version, launcher"),
        ("cpu", "Cores", "perhaps cores is meant"),
        ("memory", "numa.0.total.x", "perhaps numa.<n>.total is meant"),
    ],
)
def test_a_key_that_there_is_not_is_refused(probe: str, key: str, advice: str) -> None:
    """It would stand in the description, and nothing would ever read it."""
    with pytest.raises(CompspecError, match=re.escape(f"no such key; {advice}")):
        overrides.check({probe: {key: "1"}})


@pytest.mark.parametrize("value", ["4.5", "true", "-4", '"4 "', "0o20", "{a: 4}"])
def test_a_file_has_the_same_rules(value: str, tmp_path: Path) -> None:
    """Whatever YAML makes of what is written there."""
    file = tmp_path / "values.yaml"
    file.write_text(f"cpu:\n  cores: {value}\n", encoding="utf-8")
    given = overrides.from_file(file)
    with pytest.raises(CompspecError, match=r"override for cpu\.cores"):
        overrides.check(given)


def test_extract_refuses_a_value_that_does_not_fit(hosts_folder: Path) -> None:
    """Nothing is written, and the sentence says what to write."""
    found = CliRunner().invoke(
        main,
        ["extract", "--root", str(hosts_folder / "plain-vm")],
        env={"RAINBOW_COMPSPEC_SET_CPU__CORES": "many"},
    )
    assert (found.exit_code, found.stdout) == (1, "")
    assert "RAINBOW_COMPSPEC_SET_CPU__CORES" in found.stderr
    assert "write a whole number from 1 to 65536, as in 16; found 'many'" in found.stderr


def test_the_documented_keys_are_these() -> None:
    """docs/compspec.md has each of them in the row of its probe, or what it ends with."""
    text = (REPOSITORY / "docs" / "compspec.md").read_text(encoding="utf-8")
    section = text.partition("## Keys of our extractor")[2].partition("\n## ")[0]
    rows = {row.split("`")[1]: row for row in section.splitlines() if row.startswith("| `")}
    for probe, kinds in KEYS.items():
        for key in " ".join(kinds.values()).split():
            if key not in ("core.<n>", "package.<name>", "module.<name>"):  # have their own rows
                last = key.rpartition(".")[2]
                assert f"`{key}`" in rows[probe] or f".{last}`" in rows[probe], f"{probe}.{key}"
