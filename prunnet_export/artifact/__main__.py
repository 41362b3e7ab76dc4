"""The JSON Schema of manifest.json: ``python -m prunnet_export.artifact > manifest.schema.json``."""

import sys

from prunnet_export.artifact._manifest_file import schema_document

sys.stdout.write(schema_document())
