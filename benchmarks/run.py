"""Make every published figure: TPC-H data, an embedded server of its own, the benches, an upsert, the codec alone.

    python benchmarks/run.py [--pairs 15] [--scale 1] [--data FOLDER] [--out FOLDER]

Takes about three hours with the defaults. The data and the server live in a temporary folder and are gone
afterwards; --data names one that has lineitem.parquet already. The results are JSON files in benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
#: name of the result, and the bench's arguments; LINEITEM stands for the file, CSV for its first million rows as CSV
RUNS = {
    "load-lineitem": ["load", "LINEITEM", "--methods", "binary", "--workers", "1,2"],
    # Memory must not grow with the rows: the same on the first million.
    "load-lineitem-1m": ["load", "LINEITEM", "--rows", "1000000", "--methods", "binary"],
    "load-methods-1m": ["load", "LINEITEM", "--rows", "1000000", "--methods", "csv,records"],
    "load-csv-1m": ["load", "CSV", "--methods", "binary", "--workers", "1,2"],
    "export-lineitem": ["export", "lineitem", "--methods", "binary,parquet"],
    "export-methods-1m": ["export", "lineitem_1m", "--methods", "binary,cursor"],
    "export-csv-1m": ["export", "lineitem_1m", "--methods", "csv"],
}
#: what has a script of its own
SCRIPTS = ("codec", "upsert")
#: pairs of an upsert, whose runs take long, at most
UPSERT_PAIRS = 5


def main() -> None:
    """Run everything, or what --only names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--scale", default="1", help="TPC-H's scale factor")
    parser.add_argument("--data", type=Path, help="a folder that has lineitem.parquet")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--only", choices=[*RUNS, *SCRIPTS], action="append", help="one result; may be repeated")
    options = parser.parse_args()
    wanted = options.only or [*RUNS, *SCRIPTS]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bulkio-figures-") as folder:
        os.environ["BULKIO_HOME"] = str(Path(folder) / "home")
        lineitem = (options.data or make_data(Path(folder), options.scale)) / "lineitem.parquet"
        if "codec" in wanted:
            command = [sys.executable, str(HERE / "codec.py"), str(lineitem), "--json"]
            write(options.out / "codec.json", subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        if "upsert" in wanted:
            upsert(options)
        if set(wanted) & set(RUNS):
            run_benches(lineitem, Path(folder) / "lineitem_1m.csv", wanted, options)


def upsert(options: argparse.Namespace) -> None:
    """Compare upserts, on data and a server that the script makes for itself."""
    rows = int(6_000_000 * float(options.scale))
    sizes = ["--rows", str(rows), "--new-rows", str(rows // 6), "--pairs", str(min(options.pairs, UPSERT_PAIRS))]
    command = [sys.executable, str(HERE / "upsert.py"), *sizes, "--out", str(options.out / "upsert.json")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run_benches(lineitem: Path, csv: Path, wanted: list[str], options: argparse.Namespace) -> None:
    """Run the benches on a server of their own."""
    import bulkio
    from bulkio.server import embedded

    try:
        dsn = embedded.ensure()
        fill(dsn, lineitem)
        bulkio.export("lineitem_1m", csv, dsn)
        for name in wanted:
            if name in RUNS:
                run_bench(name, {"LINEITEM": str(lineitem), "CSV": str(csv)}, options)
    finally:
        embedded.stop()


def make_data(folder: Path, scale: str) -> Path:
    """Make TPC-H's lineitem as tpchgen-cli does by default."""
    command = [str(Path(sys.executable).with_name("tpchgen-cli")), "parquet", "-s", scale, "-T", "lineitem"]
    subprocess.run([*command, "-o", str(folder), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return folder


def fill(dsn: str, lineitem: Path) -> None:
    """Fill the tables that are exported."""
    import psycopg

    import bulkio

    bulkio.load(lineitem, "lineitem", dsn, mode="create")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE lineitem_1m AS SELECT * FROM lineitem LIMIT 1000000")
        # Hint bits and the visibility map are set once, here, and not by whichever run comes first.
        conn.execute("VACUUM (FREEZE, ANALYZE) lineitem")
        conn.execute("VACUUM (FREEZE, ANALYZE) lineitem_1m")


def run_bench(name: str, files: dict[str, str], options: argparse.Namespace) -> None:
    """Run one bench and keep its JSON."""
    arguments = [files.get(word, word) for word in RUNS[name]]
    script = "from bulkio.cli.bench import bench; bench()"
    command = [sys.executable, "-c", script, *arguments, "--pairs", str(options.pairs), "--dsn", "embedded", "--json"]
    print(f"== {name}", file=sys.stderr)
    write(options.out / f"{name}.json", subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def write(path: Path, found: bytes) -> None:
    """Write a result so that a diff of two is readable: one run a line."""
    text = json.dumps(json.loads(found), indent=1)
    path.write_text(_join_short(text) + "\n")


def _join_short(text: str) -> str:
    """Put the innermost objects and lists on one line each."""
    import re

    return re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda match: " ".join(match.group().split()), text)


if __name__ == "__main__":
    main()
