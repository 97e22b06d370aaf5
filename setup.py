"""Build the native codec; everything else about the package stands in pyproject.toml.

BULKIO_SANITIZE=address builds it under AddressSanitizer (`make asan`).
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZER = os.environ.get("BULKIO_SANITIZE", "")
FLAGS = ["-O3", "-fno-strict-aliasing", "-Wno-unused-function"]
if SANITIZER:
    FLAGS = [f"-fsanitize={SANITIZER}", "-O1", "-g", "-fno-omit-frame-pointer"]

extensions = [
    Extension(
        f"bulkio.pgcopy.{source.stem}",
        [str(source)],
        include_dirs=["src/bulkio/pgcopy"],
        extra_compile_args=FLAGS,
        extra_link_args=[f"-fsanitize={SANITIZER}"] if SANITIZER else [],
    )
    for source in sorted(Path("src/bulkio/pgcopy").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        nthreads=os.cpu_count() or 1,
        include_path=["src"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    )
)
