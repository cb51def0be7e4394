# Two images from one file.
#   docker build --target factory -t pocketrank:factory .            amd64: the whole pipeline
#   docker build --target device  -t pocketrank:device  .            amd64 and arm64: ranks, verifies and measures
#   docker buildx build --platform linux/amd64,linux/arm64 --target device .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ---- factory: torch (CPU build), transformers, export, training -----------------------------------------------
FROM ${PYTHON_IMAGE} AS factory
ARG TORCH=cpu
ARG TORCH_INDEX
ENV ORT_DISABLE_TELEMETRY=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/pocketrank/bin:$PATH
WORKDIR /pocketrank
COPY requirements requirements
RUN requirements/install /opt/pocketrank torch-${TORCH} factory
COPY . .
RUN requirements/install /opt/pocketrank editable
ENTRYPOINT ["pocketrank"]
CMD ["run", "recipes/pydocs.toml"]

# ---- device, built: an environment with numpy, tokenizers, onnxruntime, and what they do not need taken out ---
FROM ${PYTHON_IMAGE} AS device-build
ENV PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY requirements requirements
RUN requirements/install /opt/pocketrank device
COPY . .
RUN requirements/install /opt/pocketrank package \
 && site=$(/opt/pocketrank/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])') \
 && rm -rf "$site"/pip "$site"/pip-* "$site"/setuptools "$site"/setuptools-*

# ---- device: the slim image ------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS device
ENV ORT_DISABLE_TELEMETRY=1 PATH=/opt/pocketrank/bin:$PATH PYTHONDONTWRITEBYTECODE=1
COPY --from=device-build /opt/pocketrank /opt/pocketrank
RUN useradd --create-home ranker
USER ranker
WORKDIR /home/ranker
ENTRYPOINT ["pocketrank"]
CMD ["--help"]
