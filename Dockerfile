# Two images from one file.
#   docker build --target factory -t pocketrank:factory .            amd64: the whole pipeline
#   docker build --target device  -t pocketrank:device  .            amd64 and arm64: ranks, verifies and measures
#   docker buildx build --platform linux/amd64,linux/arm64 --target device .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ---- factory: torch (CPU build), transformers, export, training -----------------------------------------------
FROM ${PYTHON_IMAGE} AS factory
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV ORT_DISABLE_TELEMETRY=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /pocketrank
COPY requirements/factory.lock requirements/
RUN pip install --require-hashes -r requirements/factory.lock \
 || pip install --require-hashes --extra-index-url ${TORCH_INDEX} -r requirements/factory.lock
COPY . .
RUN pip install --no-deps --no-build-isolation --editable .
ENTRYPOINT ["pocketrank"]
CMD ["run", "recipes/pydocs.toml"]

# ---- device, built: an environment with numpy, tokenizers, onnxruntime, and what they do not need taken out ---
FROM ${PYTHON_IMAGE} AS device-build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY requirements/device.lock requirements/
RUN python -m venv /opt/pocketrank \
 && /opt/pocketrank/bin/pip install --require-hashes -r requirements/device.lock
COPY . .
# The quantization tools and data sets of the onnxruntime wheel, and the tests of numpy, never run on a device.
RUN /opt/pocketrank/bin/pip install --no-deps . \
 && site=$(/opt/pocketrank/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])') \
 && rm -rf "$site"/onnxruntime/transformers "$site"/onnxruntime/quantization "$site"/onnxruntime/tools \
           "$site"/onnxruntime/datasets "$site"/onnxruntime/capi/libonnxruntime.so* \
 && find "$site" -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -rf {} + \
 && /opt/pocketrank/bin/pip uninstall --yes pip

# ---- device: the slim image ------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS device
ENV ORT_DISABLE_TELEMETRY=1 PATH=/opt/pocketrank/bin:$PATH PYTHONDONTWRITEBYTECODE=1
COPY --from=device-build /opt/pocketrank /opt/pocketrank
RUN useradd --create-home ranker
USER ranker
WORKDIR /home/ranker
ENTRYPOINT ["pocketrank"]
CMD ["--help"]
