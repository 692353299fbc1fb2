"""Trees of arrays and plain values in HDF5, exact to the bit.

A leaf is an array, a NumPy scalar, or a Python float, int, bool, str, complex or None;
a node is a dict with text keys, a list, a tuple or a NamedTuple (read back as the dict
of its fields). Each HDF5 object says what it is in the attribute ``type``. Arrays of
other libraries are written as NumPy arrays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsesolve.backends import is_array, to_numpy
from sparsesolve.hdf5 import read_array
from sparsesolve.lazy import write_array

if TYPE_CHECKING:
    import h5py

_UNSAFE = re.compile(r"[%/\x00]|^\.|^$")
_ESCAPE = re.compile(r"%([0-9A-F]{2}|$)")
_INT64 = np.iinfo(np.int64)
# In this order: True is also an int.
_NUMBERS: dict[str, type[Any]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "complex": complex,
}


def write_tree(
    group: h5py.Group, name: str, tree: Any, *, compression: str | None = None
) -> None:
    """Write `tree` as the new member `name` of an HDF5 group.

    Parameters
    ----------
    group : h5py.Group
        Where to write.
    name : str
        Name of the member, taken as it is.
    tree : tree
        See the module.
    compression : None or "gzip"
        For arrays above 4096 entries.

    Raises
    ------
    TypeError, ValueError
        A leaf of another type, a key that is no text, a text that HDF5 cannot hold.
    """
    if tree is None:
        import h5py

        group.create_dataset(name, data=h5py.Empty("f8")).attrs["type"] = "none"
    elif isinstance(tree, np.generic):
        _write_leaf(group, name, np.asarray(tree), "scalar", compression)
    elif isinstance(tree, (bool, int, float, complex)):
        kind = next(name for name, base in _NUMBERS.items() if isinstance(tree, base))
        large = isinstance(tree, int) and not _INT64.min <= tree <= _INT64.max
        value = np.asarray(str(tree) if large else tree)
        _write_leaf(group, name, value, kind, compression)
    elif isinstance(tree, str):
        _write_texts(group, name, [tree], (), np.dtype("U")).attrs["type"] = "str"
    elif is_array(tree):
        _write_leaf(group, name, to_numpy(tree), "array", compression)
    else:
        _write_node(group, name, tree, compression)


def _write_leaf(
    group: h5py.Group,
    name: str,
    value: np.ndarray[Any, Any],
    kind: str,
    compression: str | None,
) -> None:
    if value.dtype.kind == "U":
        texts = value.reshape(-1).tolist()
        dataset = _write_texts(group, name, texts, value.shape, value.dtype)
    elif value.dtype.kind in "biufc":
        dataset = write_array(group, name, value, compression=compression)
    else:
        raise TypeError(
            f"{_place(group, name)} holds {value.dtype} entries; wanted numbers or text"
        )
    dataset.attrs["type"] = kind


def _write_texts(
    group: h5py.Group,
    name: str,
    texts: list[str],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> h5py.Dataset:
    import h5py

    if any(re.search("[\x00\ud800-\udfff]", text) for text in texts):
        raise ValueError(
            f"{_place(group, name)} has a NUL or half a surrogate pair in its text; "
            "HDF5 cannot hold it"
        )
    dataset = group.create_dataset(name, shape=shape, dtype=h5py.string_dtype())
    if texts:
        dataset[...] = np.asarray(texts, dtype=object).reshape(shape)
    dataset.attrs["dtype"] = dtype.str
    dataset.attrs["units"] = "1"
    return dataset


def _write_node(
    group: h5py.Group, name: str, tree: Any, compression: str | None
) -> None:
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        tree = dict(zip(tree._fields, tree, strict=True))
    if isinstance(tree, dict):
        kind, pairs = "dict", tree
    elif isinstance(tree, (list, tuple)):
        kind = "list" if isinstance(tree, list) else "tuple"
        pairs = {str(i): item for i, item in enumerate(tree)}
    else:
        raise TypeError(
            f"{_place(group, name)} is a {type(tree).__name__}; wanted an array, a "
            "number, a text, None, or a dict, list or tuple of them"
        )
    for key in pairs:
        if not isinstance(key, str):
            raise TypeError(
                f"{_place(group, name)} has the key {key!r}; wanted text keys"
            )
    node = group.create_group(name, track_order=True)
    node.attrs["type"] = kind
    for key, item in pairs.items():
        escaped = _UNSAFE.sub(lambda hit: f"%{ord(hit[0]):02X}" if hit[0] else "%", key)
        write_tree(node, escaped, item, compression=compression)


def read_tree(group: h5py.Group, name: str) -> Any:
    """Read back what `write_tree` wrote.

    Arrays are C-contiguous NumPy arrays of their exact dtype.

    Raises
    ------
    ValueError
        The member is missing, damaged, or not a tree; or it is a link, which a tree
        never holds and which could lead out of the file or round in a circle.
    """
    import h5py

    place = _place(group, name)
    raw = name.encode()
    if not group.id.links.exists(raw):
        raise ValueError(f"{place} is missing; wanted a tree of arrays")
    if group.id.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{place} is a link; wanted a tree without links")
    node = group[name]
    if h5py.h5o.get_info(node.id).rc > 1:
        raise ValueError(
            f"{place} occurs twice in the file; wanted a tree without links"
        )
    kind = node.attrs.get("type")
    if isinstance(node, h5py.Group) and kind in ("dict", "list", "tuple"):
        values = {_unescaped(key): read_tree(node, key) for key in node}
        if kind == "dict":
            return values
        return list(values.values()) if kind == "list" else tuple(values.values())
    try:
        return _read_leaf(node, kind)
    except (TypeError, AttributeError) as error:
        raise ValueError(
            f"{place} of type {kind!r} is not a leaf that sparsesolve wrote"
        ) from error


def _read_leaf(node: Any, kind: Any) -> Any:
    if kind == "none":
        return None
    if node.is_virtual or node.external:
        raise TypeError("the data lie in another file")
    if kind == "str":
        return str(node.asstr()[()])
    if node.dtype.kind == "O":
        value = np.asarray(node.asstr()[...], dtype=np.dtype(str(node.attrs["dtype"])))
    else:
        value = read_array(node)
    if kind == "array":
        return value
    if kind == "scalar":
        return value[()]
    if kind in _NUMBERS:
        return _NUMBERS[kind](value[()])
    raise TypeError("unknown type")


def _unescaped(key: str) -> str:
    return _ESCAPE.sub(lambda hit: chr(int(hit[1], 16)) if hit[1] else "", key)


def _place(group: h5py.Group, name: str) -> str:
    return f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
