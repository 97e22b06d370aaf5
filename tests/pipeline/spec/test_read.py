"""Pipeline files: what is accepted, and what each mistake is told as, with file, step and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkio.errors import ConfigError, FileError
from bulkio.pipeline import find_pipelines, read_pipeline
from bulkio.pipeline.spec.graph import draw
from bulkio.pipeline.spec.names import fill_text
from bulkio.pipeline.spec.texts import filled

if TYPE_CHECKING:
    from pathlib import Path

LOAD = 'id = "l"\nload = "a.csv"\ninto = "t"\n'
#: a mistake, as lines of the first step or of the file, and the message behind the file's name
STEP_MISTAKES = {
    LOAD + "mod = 'append'": 'step "l": unknown key "mod"; did you mean "mode"?',
    LOAD + "mode = 'upsrt'": (
        'step "l": key "mode" is \'upsrt\', and must be one of append, create, truncate, replace, upsert, insert-new,'
        ' replace-where; did you mean "upsert"?'
    ),
    LOAD + "lock_timeout = '5'": (
        'step "l": key "lock_timeout": lock_timeout is \'5\', and must be a text with a unit (ms, s, m, h, d),'
        " such as '10s'"
    ),
    LOAD + "retry_for = 'soon'": (
        "step \"l\": key \"retry_for\": 'soon' is not a time with a unit (ms, s, m, h, d), such as '10m'"
    ),
    LOAD + "load_id = 'x'": 'step "l": unknown key "load_id"; did you mean "load"?',
    LOAD + "sql = 'select 1'": 'step "l": key "sql" does not go with "load": that is another step',
    LOAD + "lag = '1h'": 'step "l": key "lag" goes with steps of another kind: export',
    LOAD + "needs = 'a'": 'step "l": key "needs" must be a list, such as ["a", "b"]',
    LOAD + "timeout = 10": 'step "l": key "timeout" must be a text, in quotes',
    LOAD + "retries = 'some'": 'step "l": key "retries" must be a whole number',
    LOAD + "rename = 'a'": 'step "l": key "rename" must be a table, such as { a = 1 }',
    LOAD + "header = 'some'": 'step "l": key "header" must be true or false',
    'id = "l"\nexport = "t"\nto = "a.csv"\ndecimal_comma = true': (
        'step "l": key "decimal_comma" goes with steps of another kind: load, transform'
    ),
    LOAD + "block_bytes = 0": 'step "l": key "block_bytes" must be at least 1024',
    LOAD + "chunk_bytes = '64M'": (
        'step "l": key "chunk_bytes": chunk_bytes is \'64M\', and must be a number of bytes, at least 1, with or'
        " without a unit (B, kB, MB, GB, KiB, MiB, GiB), such as '64MiB'"
    ),
    LOAD + "when = 'select ${X}'": (
        'step "l": key "when": ${…} does not go into SQL: name it in [params], and use it as $name'
    ),
    LOAD + "where = 'a = $dya'": 'step "l": key "where": $dya is not known; did you mean "day"?',
    LOAD + "rename = {a = '{dya}'}": 'step "l": key "rename": {dya} is not known; did you mean "day"?',
    LOAD + "for_each = ['{item}']": (
        'step "l": key "for_each": {item} is not known: names here are day, logical_date, logical_time, pipeline, run,'
        " step"
    ),
    LOAD + "add = {a = '{'}": 'step "l": key "add": \'{\' has a { that is no part of a name: double it',
    LOAD + "needs = ['m']": 'step "l": needs "m", which is not a step',
    LOAD + "needs = ['l']": 'steps need each other in a circle: "l" -> "l"',
    LOAD + "on_failure = 'halt'": ('step "l": key "on_failure" is \'halt\', and must be one of fail, stop, continue'),
    LOAD + "delimiter = '${NOT_THERE}'": (
        'step "l": key "delimiter": the environment has no variable "NOT_THERE" (${NOT_THERE:-…} has a default)'
    ),
    LOAD + "delimiter = '${'": 'step "l": key "delimiter": there is a ${ without a name and a } behind it',
    'id = "l"\nload = "a.csv"': 'step "l": key "into" is missing',
    'load = "a.csv"\ninto = "t"': 'step 1: key "id" is missing',
    'id = "l"': 'step "l" has none of the keys that tell its kind: load, export, transform, sql, python, check',
    'id = "l"\nlaod = "a"': (
        'step "l" has none of the keys that tell its kind: load, export, transform, sql, python, check;'
        ' did you mean "load"?'
    ),
    'id = "l"\npython = "module"': (
        'step "l": key "python" is \'module\', and must match ^[A-Za-z_][\\w.]*:[A-Za-z_]\\w*$'
    ),
    'id = "l"\nexport = "t"\nto = "a.csv"\nincremental = "at"': (
        'step "l": key "to": the file of an incremental export has its window in its name, such as'
        " out/l-{window}.parquet"
    ),
    'id = "l"\nexport = "t"\nto = "{window_end:%Y%m%d}.csv"\nincremental = "at"': (
        'step "l": key "to": the file of an incremental export has its window in its name, such as'
        " out/l-{window}.parquet"
    ),
    'id = "l"\nexport = "t"\nto = "a.csv"\nlag = "1h"': 'step "l": key "lag" goes with incremental',
    'id = "l"\nexport = "t"\nto = "{item}{window}.csv"\nincremental = "at"\nfor_each = [1]': (
        'step "l": an incremental export has one mark, and so does not go with for_each'
    ),
    'id = "l"\nexport = "t"\nto = "a.csv"\nfor_each = [1]': (
        'step "l": key "to": each item would write the same file: {item} must stand in its name'
    ),
    'id = "l"\ntransform = "select 1"\nquery = "t"\nto = "a.parquet"\nfor_each = [1]': (
        'step "l": key "to": each item would write the same file: {item} must stand in its name'
    ),
    'id = "l"\ntransform = "select 1"\ninto = "t"': 'step "l": a transform has one source: query, or files',
    'id = "l"\ntransform = "select 1"\nquery = "t"\nto = "out/a.csv.gz"': (
        'step "l": key "to": a transform writes Parquet or Arrow files; CSV is written by the server, so export a table'
    ),
    'id = "l"\ntransform = "select 1"\nquery = "t"': 'step "l": a transform has one target: into, or to',
    LOAD + "[[step]]\n" + LOAD: 'step "l": there are two of this id',
}
FILE_MISTAKES = {
    'conection = "w"': 'unknown key "conection"; did you mean "connection"?',
    "max_parallel = 0": 'key "max_parallel" must be at least 1',
    "[schedule]\ncron = '15 24 * * *'": (
        "key \"schedule.cron\": '15 24 * * *' is not a cron line: its hour is wrong (0 to 23)"
    ),
    "[schedule]\ncron = '15 2 * * *'\ntimezone = 'Europe/Berln'": (
        "key \"schedule.timezone\": 'Europe/Berln' is not a time zone, such as Europe/Berlin; did you mean"
        ' "Europe/Berlin"?'
    ),
    "[schedule]\nchron = '1'": 'key "schedule.cron" is missing',
    "[params]\n'a b' = 1": 'key "params.a b" is not a name: letters, digits and _',
    "[params]\nitem = 1": 'key "params.item": steps have this name already',
    "[params]\nx = []": 'key "params.x" must be a text, in quotes',
}


def write(folder: Path, text: str) -> Path:
    """Write a pipeline file."""
    path = folder / "p.toml"
    path.write_text(text)
    return path


def messages(path: Path) -> list[str]:
    """Return the lines of the error, without the file's name, which each has."""
    with pytest.raises(ConfigError) as caught:
        read_pipeline(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize("step", STEP_MISTAKES)
def test_mistakes_of_a_step(tmp_path: Path, step: str) -> None:
    """The message names the step and the key, and what may be meant."""
    path = write(tmp_path, f'name = "p"\nparams = {{day = "mon"}}\n[[step]]\n{step}\n')
    assert messages(path) == [STEP_MISTAKES[step]]


@pytest.mark.parametrize("line", FILE_MISTAKES)
def test_mistakes_of_the_file(tmp_path: Path, line: str) -> None:
    """The message names the key."""
    assert FILE_MISTAKES[line] in messages(write(tmp_path, f'name = "p"\n{line}\n[[step]]\n{LOAD}'))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to mend them one by one."""
    path = write(tmp_path, f'nam = "p"\n[[step]]\n{LOAD}mod = 1\n[[step]]\nid = "m"\n')
    name, mod, kind, unknown = messages(path)
    assert name == 'key "name" is missing'
    assert mod == 'step "l": unknown key "mod"; did you mean "mode"?'
    assert kind.startswith('step "m" has none of the keys that tell its kind')
    assert unknown == 'unknown key "nam"; did you mean "name"?'


def test_what_the_environment_holds_is_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that stands where a word should be is shown as the file has it."""
    monkeypatch.setenv("SECRET", "s3cret")
    lines = messages(write(tmp_path, f'name = "p"\n[[step]]\n{LOAD}mode = "${{SECRET}}"\n'))
    assert "s3cret" not in lines[0]
    assert "'${SECRET}'" in lines[0]


def test_the_environment_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable, or its default; numbers and words, too; SQL stays as it is."""
    monkeypatch.setenv("DIR", "in")
    text = 'load = "${DIR}/a.csv"\ninto = "${TABLE:-t}"\nworkers = "${W:-2}"\ncheck = "select $day is null"'
    spec = read_pipeline(write(tmp_path, f'name = "p"\nparams = {{day = 1}}\n[[step]]\nid = "l"\n{text}\n'))
    (step,) = spec.step
    assert (step.load, step.into, step.workers, step.check) == ("in/a.csv", "t", "2", ["select $day is null"])


def test_what_the_environment_holds_has_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its braces are braces, and a query does not come from there."""
    monkeypatch.setenv("SECRET", "s3cret{run}{")
    monkeypatch.setenv("QUERY", "select 1")
    head = 'name = "p"\nparams = {x = "${SECRET}"}\nconnection = "${SECRET}"'
    text = f'{head}\n[[step]]\n{LOAD}add = {{a = "${{SECRET}}"}}'
    spec = read_pipeline(write(tmp_path, text))
    assert (fill_text(spec.params["x"], {}), spec.connection) == ("s3cret{run}{",) * 2
    assert filled(spec.step[0], {})["add"] == {"a": "s3cret{{run}}{{"}
    assert messages(write(tmp_path, 'name = "p"\n[[step]]\nid = "l"\nexport = "${QUERY}"\nto = "a.csv"')) == [
        'step "l": key "export": the environment\'s variables make a query of it: write it here'
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, no text, no TOML: each is an error that names the file."""
    with pytest.raises(FileError, match=r"no\.toml: cannot be read: No such file"):
        read_pipeline(tmp_path / "no.toml")
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(FileError, match="it is not UTF-8"):
        read_pipeline(path)
    path.write_text("name = ]\n")
    with pytest.raises(ConfigError, match=r"p\.toml: is not TOML: .*line 1"):
        read_pipeline(path)


def test_a_file_of_a_windows_editor(tmp_path: Path) -> None:
    """A byte order mark and its line ends are no mistakes."""
    path = tmp_path / "p.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "p"\r\n[[step]]\r\nid = "l"\r\nsql = "select 1"\r\n')
    assert read_pipeline(path).name == "p"


def test_pipelines_of_a_folder(tmp_path: Path) -> None:
    """Each *.toml is one, but for the folder's configuration; a folder without any is an error."""
    with pytest.raises(FileError, match="has no pipeline"):
        find_pipelines(tmp_path)
    for name in ("b.toml", "a.toml", "bulkio.toml", "a.sql"):
        (tmp_path / name).touch()
    assert [path.name for path in find_pipelines(tmp_path)] == ["a.toml", "b.toml"]


def test_a_long_chain_is_drawn(tmp_path: Path) -> None:
    """However deep the tree is."""
    line = '[[step]]\nid = "s%d"\nsql = "select 1"\nneeds = [%s]\n'
    steps = "".join(line % (number, f"'s{number - 1}'" if number else "") for number in range(1200))
    lines = draw(read_pipeline(write(tmp_path, f'name = "p"\n{steps}')).step)
    assert len(lines) == 1200
    assert lines[-1].strip().startswith("└─ s1199")
