"""Containers as the standard library, python-snappy and Arrow write them."""

import io
import zipfile

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import snappy


def zipped(*members: bytes) -> bytes:
    """A zip archive."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"member {number}", member)
    return sink.getvalue()


def framed_snappy(data: bytes) -> bytes:
    """Snappy's framing format."""
    return bytes(snappy.StreamCompressor().compress(data))


def hadoop_snappy(data: bytes) -> bytes:
    """Blocks as Hadoop and Firehose write them."""
    return bytes(snappy.HadoopStreamCompressor().compress(data))


def parquet(table: pa.Table, **options: object) -> bytes:
    """A Parquet file."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, **options)
    return sink.getvalue()


def orc(table: pa.Table, **options: object) -> bytes:
    """An ORC file."""
    sink = io.BytesIO()
    pyarrow.orc.write_table(table, sink, **options)
    return sink.getvalue()
