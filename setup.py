"""Build the native codec; everything else about the package stands in pyproject.toml.

BULKIO_SANITIZE=address builds it under AddressSanitizer (`make asan`). BULKIO_CODEC=later leaves it out: make compiles
it after pip, in a folder that stays, so that nothing is compiled twice.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCE = Path("src")
CODEC = SOURCE / "bulkio/pgcopy"
CSV = SOURCE / "bulkio/files/formats/csv"
FORMS = SOURCE / "bulkio/forms"
SANITIZER = os.environ.get("BULKIO_SANITIZE", "")
# Without what a debugger would read, which is four fifths of a library.
FLAGS = ["-O3", "-g0", "-fno-strict-aliasing", "-Wno-unused-function"]
if SANITIZER:
    FLAGS = [f"-fsanitize={SANITIZER}", "-O1", "-g", "-fno-omit-frame-pointer"]
LATER = os.environ.get("BULKIO_CODEC", "") == "later"
CPUS = os.cpu_count() or 1
COMPILER = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]

if not {"sdist", "egg_info", "dist_info"} & set(sys.argv) and not shutil.which(COMPILER):
    # Else it would be the last lines of several hundred, after a minute.
    raise SystemExit(
        f"bulkio's codec is compiled, and there is no C compiler {COMPILER!r}: apt-get install gcc, or set CC"
    )

extensions = [
    Extension(
        ".".join(source.relative_to(SOURCE).with_suffix("").parts),
        [str(source)],
        depends=[str(header) for header in sorted(source.parent.glob("*.h"))],
        include_dirs=[str(source.parent)],
        extra_compile_args=FLAGS,
        extra_link_args=[f"-fsanitize={SANITIZER}"] if SANITIZER else [],
    )
    for folder in (CODEC, FORMS, CSV)
    for source in sorted(folder.glob("*.pyx"))
]
if not extensions:
    # Without this a source archive that lacks them would become a wheel without a codec.
    raise SystemExit(f"no Cython sources in {SOURCE.resolve()}: this copy of bulkio is not complete")

setup(
    options={"build_ext": {"parallel": CPUS}},
    ext_modules=cythonize(
        [] if LATER else extensions,
        nthreads=CPUS,
        include_path=["src"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    ),
)
