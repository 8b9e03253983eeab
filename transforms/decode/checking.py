"""Whether Arrow arrays that a damaged file may have made can be used without reading beyond their buffers."""

import numpy as np
import pyarrow as pa


def check_array(array: pa.Array) -> None:
    """Raise ArrowInvalid if an offset or a length of the array, or within it, leads elsewhere. Texts may be any bytes."""
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        array.validate()
        _check_offsets(array)
        check_array(array.values)
    elif pa.types.is_struct(kind):
        array.validate()
        for place in range(kind.num_fields):
            check_array(array.field(place))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        array.cast(pa.binary()).validate(full=True)
    else:
        array.validate(full=True)


def _check_offsets(array: pa.ListArray) -> None:
    offsets = array.offsets.to_numpy()
    if len(offsets) and (offsets[0] < 0 or offsets[-1] > len(array.values) or (np.diff(offsets) < 0).any()):
        raise pa.ArrowInvalid(f"offsets of {array.type} are out of order, or beyond its {len(array.values)} values")
