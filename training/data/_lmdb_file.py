"""Looking keys up in the file of an LMDB store, by reading its pages.

LMDB itself maps the file into memory and believes what its pages say. A damaged file then ends the process with a
signal, and no error can be raised. Here every place is checked against the page and the file.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from prunnet_export._files import open_regular
from prunnet_export._limits import IMAGE_BYTES

# magic, version, address, size of the map; the page size in place of the first number of the first tree
_META = struct.Struct("<IIQQI")
# flags, depth, pages with branches, with leaves, with large values, entries, root
_TREE = struct.Struct("<HHQQQQQ")
_TREE_PLACE = _META.size + 44 + 4  # the tree of the keys comes after the tree of the free pages
_LAST = struct.Struct("<QQ")  # the last page, and the transaction that wrote this
_PAGE = struct.Struct("<QHHHH")  # number, unused, flags, end of the places of the nodes, begin of the nodes
_NODE = struct.Struct("<HHHH")  # two parts of the size or of the page of the child, flags, length of the key
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _LARGE = 0x01, 0x02, 0x04  # kinds of pages
_ON_OTHER_PAGES, _UNUSUAL_NODE = 0x01, 0x06  # kinds of nodes
_UNUSUAL_TREE = 0x02 | 0x04 | 0x08  # keys in reverse, several values for a key, numbers as keys
_NO_PAGE = 2**64 - 1
_DEEPEST = 32  # also LMDB's own limit
_SMALLEST_PAGE, _LARGEST_PAGE = 512, 2**16


class DamagedStoreError(ValueError):
    """A page of the store does not fit the file."""


class LmdbFile:
    """An open store. It is read as the last finished transaction left it.

    Args:
        file: The file ``data.mdb``.

    Raises:
        OSError: it cannot be opened.
        InvalidInput: it is no regular file.
        DamagedStoreError: it is no store, is cut off, or is of a kind that is not read.
    """

    def __init__(self, file: Path) -> None:
        self._opened: BinaryIO = open_regular(file)
        try:
            self._size = os.fstat(self._opened.fileno()).st_size
            self._page_size = self._read_page_size()
            self._depth, self._root = self._read_tree()
        except BaseException:
            self._opened.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None if there is none.

        Raises:
            DamagedStoreError: a page on the way to it is damaged.
        """
        number = self._root
        for _ in range(self._depth):
            page, kind = self._page(number)
            nodes = self._nodes(page)
            if kind & _LEAF:
                place = _first_not_below(page, nodes, key, 0)
                found = place < len(nodes) and _key(page, nodes[place]) == key
                return self._value(page, nodes[place]) if found else None
            if not kind & _BRANCH or not nodes:
                raise DamagedStoreError(f"page {number} is of another kind")
            # The first key of a branch stands for every key below the second one.
            place = _first_not_below(page, nodes, key, 1)
            exact = place < len(nodes) and _key(page, nodes[place]) == key
            low, high, top, _length = _NODE.unpack_from(page, nodes[place if exact else place - 1])
            number = low | high << 16 | top << 32
        if self._root == _NO_PAGE:
            return None
        raise DamagedStoreError("it is deeper than it says")

    def _read_page_size(self) -> int:
        magic, version, _, _, size = _META.unpack(self._at(_PAGE.size, _META.size))
        if magic != _MAGIC or version != _VERSION:
            raise DamagedStoreError("it is no LMDB store of this kind of machine")
        if not _SMALLEST_PAGE <= size <= _LARGEST_PAGE or size & (size - 1):
            raise DamagedStoreError(f"its pages have {size} bytes")
        return int(size)

    def _read_tree(self) -> tuple[int, int]:
        """The depth and the root page of the keys, from the newer one of the two first pages."""
        newest = max((self._meta(page) for page in (0, 1)), key=lambda meta: meta[0])
        _, flags, depth, root = newest
        if flags & _UNUSUAL_TREE:
            raise DamagedStoreError("it has keys of another order, or several values for a key")
        if depth > _DEEPEST:
            raise DamagedStoreError(f"it is {depth} pages deep")
        return depth, root

    def _meta(self, page: int) -> tuple[int, int, int, int]:
        """The transaction, and the flags, depth and root of its tree."""
        start = page * self._page_size + _PAGE.size
        magic, version = struct.unpack("<II", self._at(start, 8))
        flags, depth, _, _, _, _, root = _TREE.unpack(self._at(start + _TREE_PLACE, _TREE.size))
        last, transaction = _LAST.unpack(self._at(start + _TREE_PLACE + _TREE.size, _LAST.size))
        if magic != _MAGIC or version != _VERSION:
            raise DamagedStoreError(f"page {page} is damaged")
        if (last + 1) * self._page_size > self._size:
            raise DamagedStoreError("it is cut off")
        return transaction, flags, depth, root

    def _page(self, number: int) -> tuple[bytes, int]:
        """A page and its kind."""
        page = self._at(number * self._page_size, self._page_size)
        stated, _, kind, _, _ = _PAGE.unpack_from(page)
        if stated != number:
            raise DamagedStoreError(f"page {number} is damaged")
        return page, kind

    def _nodes(self, page: bytes) -> tuple[int, ...]:
        """Where the nodes of a page begin."""
        _, _, _, end, _ = _PAGE.unpack_from(page)
        count = (end - _PAGE.size) // 2
        if not 0 <= count <= (self._page_size - _PAGE.size) // 2:
            raise DamagedStoreError("a page has too many nodes")
        nodes: tuple[int, ...] = struct.unpack_from(f"<{count}H", page, _PAGE.size)
        if nodes and max(nodes) > self._page_size - _NODE.size:
            raise DamagedStoreError("a node is outside of its page")
        return nodes

    def _value(self, page: bytes, node: int) -> bytes:
        low, high, flags, length = _NODE.unpack_from(page, node)
        size, start = low | high << 16, node + _NODE.size + length
        if flags & _UNUSUAL_NODE:
            raise DamagedStoreError("a value is a store of its own")
        if size > IMAGE_BYTES:
            raise DamagedStoreError(f"a value has {size} bytes")
        if not flags & _ON_OTHER_PAGES:
            value = page[start : start + size]
        else:
            if start + 8 > len(page):
                raise DamagedStoreError("a node is outside of its page")
            (number,) = struct.unpack_from("<Q", page, start)
            kind = self._page(number)[1]
            if not kind & _LARGE:
                raise DamagedStoreError(f"page {number} is of another kind")
            value = self._at(number * self._page_size + _PAGE.size, size)
        if len(value) != size:
            raise DamagedStoreError("a value is outside of its page")
        return value

    def _at(self, start: int, size: int) -> bytes:
        if start + size > self._size:
            raise DamagedStoreError("a page is beyond its end")
        self._opened.seek(start)
        content = self._opened.read(size)
        if len(content) != size:
            raise DamagedStoreError("it became shorter")
        return content


def _key(page: bytes, node: int) -> bytes:
    length = _NODE.unpack_from(page, node)[3]
    key = page[node + _NODE.size : node + _NODE.size + length]
    if len(key) != length:
        raise DamagedStoreError("a key is outside of its page")
    return key


def _first_not_below(page: bytes, nodes: tuple[int, ...], key: bytes, start: int) -> int:
    """The first node from ``start`` on whose key is not below a key; nodes are sorted by their keys."""
    end = len(nodes)
    start = min(start, end)
    while start < end:
        middle = (start + end) // 2
        if _key(page, nodes[middle]) < key:
            start = middle + 1
        else:
            end = middle
    return start
