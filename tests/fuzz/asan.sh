#!/bin/sh
# Run the tests of the codec and of the CSV parser, and the fuzzer, under AddressSanitizer.
#
#   tests/fuzz/asan.sh [FUZZ_COUNT]        PYTHON=.venv/bin/python by default
#
# First with a planted overread (BULKIO_PLANT_OVERREAD in wire.h: of a text that is not ASCII the byte behind it is read), which
# must be seen to fail: a sanitizer that sees nothing proves nothing. Then clean. All in a scratch folder; the checkout is
# not touched.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
count=${1:-100000}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bulkio-asan.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

cp -r "$here/src" "$here/setup.py" "$here/pyproject.toml" "$here/tests" "$scratch/"
find "$scratch/src" \( -name '*.so' -o -name '*.egg-info' \) -prune -exec rm -rf {} +
cd "$scratch"
touch README.md LICENSE

build() { # $1: more flags for the C compiler
    BULKIO_SANITIZE=address CFLAGS="$1" "$python" setup.py -q build_ext --inplace --force >build.log 2>&1 || {
        cat build.log
        exit 1
    }
}

run() { # a Python process with the sanitizer's runtime loaded first; Python's own allocations go through malloc
    # Leaks: CPython and pyarrow keep memory until the process ends, which the leak check cannot tell from ours.
    env PYTHONPATH="$scratch/src" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 \
        ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1 \
        LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libstdc++.so)" \
        "$python" "$@"
}

echo "asan: building with a planted overread"
build "-DBULKIO_PLANT_OVERREAD"
status=0
run tests/fuzz/fuzz_decoder.py --count 20000 >planted.log 2>&1 || status=$?
if [ "$status" -ne 99 ] || ! grep -q "AddressSanitizer: heap-buffer-overflow" planted.log; then
    echo "asan: FAILED: the planted overread was not seen (exit code $status)"
    tail -20 planted.log
    exit 1
fi
echo "asan: the planted overread was seen:"
grep -m3 -E "ERROR: AddressSanitizer|^READ of|_text" planted.log

echo "asan: building clean"
build ""
# The tests' conftest asks servers for their version: those must not inherit the sanitizer's runtime.
PYTEST='import os, sys, pytest; os.environ.pop("LD_PRELOAD"); sys.exit(pytest.main(sys.argv[1:]))'
run -c "$PYTEST" -q -p no:cacheprovider tests/pgcopy tests/types tests/fuzz \
    tests/files/formats/csv/test_parser.py tests/files/formats/csv/test_reader.py \
    tests/files/formats/csv/test_tolerance.py --ignore-glob="*/test_server_*" -k "not live"
run tests/fuzz/fuzz_decoder.py --count "$count"
echo "asan: clean"
