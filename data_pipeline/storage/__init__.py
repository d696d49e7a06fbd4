"""The only package that touches files: local paths, ``s3://`` and ``hf://`` and archives behind the same functions.

    paths     paths as text                    remote    fsspec, and which failures are retried
    ranges    bytes by range                   archives  paths into .zip, .tar and .tar.gz (members, zips, tars)
    files     reading                          listing   files and folders, and what a glob names
    writing   whole files or none; JSON that holds its own checksum
    web       media from allowed web hosts     cache     local copies of remote shards
    confined  paths in the data, kept below a root     unpacked  temporary files, bounded
    lease     one writer a folder                drafts    temporary names, and what killed writers left of them

A path without a scheme is local and relative to the working folder. ``s3://`` reads its keys and its endpoint from the
usual AWS variables, ``hf://`` is the Hugging Face hub at a pinned commit. A path may lead into an archive, local or
remote: ``s3://bucket/images.zip/a/b.jpg``. Writers never leave half a file behind: locally a temporary name is
renamed, on s3 an object appears only when its upload is complete.
"""

from data_pipeline.storage.archives import archive_digest, archive_of, is_archive
from data_pipeline.storage.cache import ShardCache, cache_folder, private_folder
from data_pipeline.storage.confined import url_below
from data_pipeline.storage.drafts import draft_beside, remove_drafts
from data_pipeline.storage.files import (
    exists,
    is_local,
    marks_of,
    open_input,
    read_bytes,
    read_each,
    sha256_of,
    size_of,
)
from data_pipeline.storage.lease import held
from data_pipeline.storage.listing import list_files, list_folders
from data_pipeline.storage.paths import absolute, escaped, join, name_of, parent_of
from data_pipeline.storage.remote import patience, wait_for_stores
from data_pipeline.storage.unpacked import local_copy, open_seekable
from data_pipeline.storage.web import fetch
from data_pipeline.storage.writing import (
    delete_folder,
    from_checked_json,
    from_json_of_any_age,
    make_parent,
    read_json,
    to_checked_json,
    upload,
    write_atomic,
)

__all__ = [
    "ShardCache",
    "absolute",
    "archive_digest",
    "archive_of",
    "cache_folder",
    "delete_folder",
    "draft_beside",
    "escaped",
    "exists",
    "fetch",
    "from_checked_json",
    "from_json_of_any_age",
    "held",
    "is_archive",
    "is_local",
    "join",
    "list_files",
    "list_folders",
    "local_copy",
    "make_parent",
    "marks_of",
    "name_of",
    "open_input",
    "open_seekable",
    "parent_of",
    "patience",
    "private_folder",
    "read_bytes",
    "read_each",
    "read_json",
    "remove_drafts",
    "sha256_of",
    "size_of",
    "to_checked_json",
    "upload",
    "url_below",
    "wait_for_stores",
    "write_atomic",
]
