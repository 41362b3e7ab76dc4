"""The process that measures: ``python -m prunnet_export.devices._worker`` reads one request and writes one reply.

It does not import torch. It reads only JSON, model files and .npy files.
"""

from __future__ import annotations

import os
import sys
import traceback

import msgspec

from prunnet_export._errors import InvalidInput, PrunnetError, StorageError, Unreachable
from prunnet_export._text import shown
from prunnet_export.devices._protocol import ErrorReply, Reply, decode_request
from prunnet_export.devices._serving import serve


def answer(document: bytes) -> Reply:
    """The reply to one request document. Every error becomes a reply."""
    reported: PrunnetError
    try:
        return serve(decode_request(document))
    except PrunnetError as error:
        reported = error
    except msgspec.MsgspecError as error:
        reported = InvalidInput(f"not a request of this worker ({error})", hint="do both sides have the same version?")
    except OSError as error:
        reported = StorageError(f"the worker cannot use {error.filename or 'a file'}: {error.strerror or error}")
    except ImportError as error:  # the engine is installed, but built for another processor or Python
        line = str(error).partition("\n")[0]
        reported = Unreachable(f"the engine cannot be loaded: {line}", hint="install the build for this machine")
    except MemoryError:
        reported = Unreachable("the device ran out of memory", hint="close other programs or cut a smaller model")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  the host must get a reply after a bug, or an engine that exits
        traceback.print_exc()
        line = str(error).partition("\n")[0]
        return ErrorReply(kind="PrunnetError", message=shown(f"the worker failed: {type(error).__name__}: {line}"))
    return ErrorReply(kind=type(reported).__name__, message=shown(reported.message), hint=shown(reported.hint))


def main() -> None:
    """Answer the request on standard input.

    Libraries print to standard output, also from C. So the reply gets a descriptor of its own, and standard output is
    redirected to standard error.
    """
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        out.write(msgspec.json.encode(answer(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
