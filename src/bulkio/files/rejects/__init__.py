"""The file that rejected records go to, DEST: what stands on disk of it before, while and after a load commits.

    DEST                    the records as their files have them, under the first file's own header: to be loaded again
    DEST.errors.jsonl       the reason for each, in the same order
    DEST.parts/             what there is until the load is done
        load.json           the load: its id and run, and how DEST begins; locked as long as its process lives
        7.sent, 7.staged    the rejected records of chunk 7, and their reasons: an Arrow stream
        DEST, DEST.errors…  both files as they will be, from just before a COMMIT on whose outcome may stay unknown

A part is on disk before the chunk's COMMIT, and DEST only once the load's last transaction is committed. So a rejected
record whose rows were committed is never lost, and a load that was not committed leaves nothing:

1. `begin` makes the folder, `store` writes a part under a temporary name, fsyncs and renames it.
2. `finish` puts both files together in the folder, gives them their names, the reasons first, and takes the folder
   away by one rename. Wherever it is killed, calling it again makes the same of what is there.
3. A load that goes on drops parts of chunks that the ledger does not have (they were not committed), and is refused
   where parts are missing.

A folder of a process that is gone belongs to its load, and that is the one that can go on with it, by its id, or begins
anew. To any other load it is in the way as long as rows may be committed that its records belong to: where it has parts
and an id by which another run can go on, or both files. Otherwise nothing was committed, and it is dropped.
"""

from __future__ import annotations

from bulkio.files.rejects.ending import finish_rejects
from bulkio.files.rejects.file import RejectFile

__all__ = ["RejectFile", "finish_rejects"]
