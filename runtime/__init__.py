"""What runs on the device: bundles, the encoder, the index and search. numpy, tokenizers and onnxruntime only."""

import os

# The onnxruntime wheels report usage by default since 1.29; a device that ranks in private must not.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
