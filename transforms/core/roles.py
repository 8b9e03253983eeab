"""Role series: host points copied to every `service:role` that the host belonged to when it posted (DESIGN §3)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.core.model import Bools, Ints, Postings


@dataclass(frozen=True)
class Membership:
    """Which roles hosts had when: parallel columns, a row per (org, host, role) and half-open `[from_us, to_us)` in arrival time.

    Rows may overlap; a host is in a role once however many rows say so.
    """

    org: pa.Array
    host: pa.Array
    role: pa.Array
    from_us: Ints
    to_us: Ints


@dataclass(frozen=True)
class RoleCopies:
    """Which posting is copied to which role, a row per distinct pair, ordered by posting."""

    posting: npt.NDArray[np.int32]
    role: pa.Array


def role_copies(postings: Postings, membership: Membership | None) -> RoleCopies:
    """Pairs of host postings and the roles they count for: those in the posting, or, where it names none (null), the table's at its arrival."""
    is_host = _mask(pc.equal(postings.metric_type, "host"))
    unsaid = _mask(postings.roles.is_null())
    posting, role = _said(postings.roles, is_host)
    if membership is not None and (looked_up := np.flatnonzero(is_host & unsaid)).size:
        from_table = _looked_up(postings, looked_up, membership)
        posting = np.concatenate([posting, from_table[0]])
        role = pa.concat_arrays([role, from_table[1]])
    return _distinct(posting, role)


def _said(roles: pa.ListArray, is_host: Bools) -> tuple[npt.NDArray[np.int32], pa.Array]:
    posting = pc.list_parent_indices(roles).to_numpy(zero_copy_only=False)
    keep = is_host[posting]
    return posting[keep].astype(np.int32), pc.list_flatten(roles).filter(pa.array(keep))


def _looked_up(postings: Postings, rows: npt.NDArray[np.intp], membership: Membership) -> tuple[npt.NDArray[np.int32], pa.Array]:
    asked = pa.table({"org": postings.org.take(pa.array(rows)), "host": postings.entity.take(pa.array(rows)), "posting": rows.astype(np.int32)})
    table = pa.table({"org": membership.org, "host": membership.host, "role": membership.role, "from_us": membership.from_us, "to_us": membership.to_us})
    pairs = asked.join(table, keys=["org", "host"], join_type="inner", use_threads=False)
    posting = pairs["posting"].to_numpy()
    arrival_us = postings.arrival_us[posting]
    member = (pairs["from_us"].to_numpy() <= arrival_us) & (arrival_us < pairs["to_us"].to_numpy())
    return posting[member], pairs["role"].combine_chunks().filter(pa.array(member))


def _distinct(posting: npt.NDArray[np.int32], role: pa.Array) -> RoleCopies:
    if not len(posting):
        return RoleCopies(posting, role)
    encoded = role.dictionary_encode()
    codes = encoded.indices.to_numpy()
    pairs = np.unique(posting.astype(np.int64) * len(encoded.dictionary) + codes)
    picked, kinds = np.divmod(pairs, len(encoded.dictionary))
    return RoleCopies(picked.astype(np.int32), encoded.dictionary.take(pa.array(kinds)))


def _mask(array: pa.Array) -> Bools:
    mask: Bools = array.to_numpy(zero_copy_only=False).astype(bool)
    return mask
