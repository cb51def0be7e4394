"""One door to the records of a file, whatever its kind."""

from collections.abc import Iterator

from .json_files import json_line_records, json_records
from .kinds import Source
from .records import TEXT_NEEDED, NoRecords, Record
from .remarks import Remarks
from .tables import parquet_records, table_records


def read_records(source: Source, remarks: Remarks) -> Iterator[Record]:
    """Yield the records of `source` that have a text or a title.

    Records without text are a remark. A file without records is one when a folder was named, else an `InputError`.
    """
    try:
        for record in _records(source, remarks):
            if not record.has_text or not (record.text.strip() or record.title.strip()):
                place = record.where.removeprefix(f"{source.path}, ")
                remarks.add(f"records left out because they lack {TEXT_NEEDED}", f"{source.label} {place}")
            else:
                yield record
    except NoRecords:
        if not source.in_folder:
            raise
        remarks.add(f"files left out because no record has {TEXT_NEEDED}", source.label)


def _records(source: Source, remarks: Remarks) -> Iterator[Record]:
    path = source.path
    match source.kind:
        case "json":
            return json_records(path)
        case "csv":
            return table_records(path, ",;\t", remarks)
        case "tsv":
            return table_records(path, "\t", remarks)
        case "parquet":
            return parquet_records(path)
        case _:
            return json_line_records(path)
