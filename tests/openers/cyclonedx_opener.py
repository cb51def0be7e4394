"""Check a CycloneDX 1.7 file against its schema, strictly; print the errors as JSON.

usage: cyclonedx_opener.py FILE
"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_7).validate_str(Path(sys.argv[1]).read_text(encoding="utf-8"))
sys.stdout.write(json.dumps([] if error is None else [str(error)]))
